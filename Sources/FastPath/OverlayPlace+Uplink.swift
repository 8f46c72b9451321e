// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import Netlink
import PacketHeaders
import SystemPackage

/// The interface that the VXLAN packets leave by.
extension OverlayPlace {
  /// As given; else the device's own; else where the routes to its remote VTEPs lead. Where it has none yet (the
  /// first container of a Docker network), the interface that has its address, or the host's default route.
  static func findUplink(
    _ vxlan: Link, _ options: FastPathOptions, underlay: Box<RouteConnection>, overlay: Box<RouteConnection>
  ) throws -> Link {
    let links = try underlay.value.links()
    let uplink = try findUplink(vxlan, options, links, underlay, overlay)
    guard uplink.flags & loopback == 0 else {
      throw Failure(
        "use as uplink", uplink.name, advice: "It is the loopback device; name another with --uplink.",
        status: .usage)
    }
    guard uplink.mac != nil else {
      throw Failure(
        "use as uplink", uplink.name,
        advice:
          "It is not an Ethernet device (\(uplink.kind ?? "hardware")): the fast path writes Ethernet headers. "
          + "The kernel forwards all of \(vxlan.name).", status: .unavailable)
    }
    return uplink
  }

  /// IFF_LOOPBACK
  private static let loopback: UInt32 = 8

  private static func findUplink(
    _ vxlan: Link, _ options: FastPathOptions, _ links: [Link], _ underlay: Box<RouteConnection>,
    _ overlay: Box<RouteConnection>
  ) throws -> Link {
    if let name = options.uplink {
      guard let link = links.first(where: { $0.name == name }) else {
        throw Failure(
          "find uplink", name, errno: Errno(rawValue: 19),
          advice: "Its namespace has: \(links.map(\.name).joined(separator: ", ")).")
      }
      return link
    }
    if let index = vxlan.vxlan?.link, let link = links.first(where: { $0.index == index }) { return link }
    let remotes = Set(
      try overlay.value.fdb().filter { $0.link == vxlan.index && $0.isOfDevice }.compactMap(\.destination)
        .filter { !$0.isMulticast })
    // RTN_UNICAST: the host's own address is among them where its containers came and went.
    let ways = try remotes.compactMap { remote in
      try underlay.value.routeIfAny(RouteQuery(to: remote)).flatMap { $0.type == 1 ? $0.outInterface : nil }
    }
    let most = Dictionary(grouping: ways, by: { $0 }).max {
      ($0.value.count, $1.key) < ($1.value.count, $0.key)
    }
    if let most, let link = links.first(where: { $0.index == most.key }) { return link }
    if let link = try byAddress(of: vxlan, links, underlay) { return link }
    throw Failure(
      "find", "the uplink of \(vxlan.name)",
      advice:
        "The device names none, has no remote VTEP to route to and no address of its own, and the host has "
        + "no default route; name it with --uplink.")
  }

  private static func byAddress(
    of vxlan: Link, _ links: [Link], _ underlay: Box<RouteConnection>
  ) throws -> Link? {
    let isIPv6 = vxlan.vxlan?.isIPv6 == true
    // Every interface has one of its link's own.
    let addresses = try underlay.value.addresses(ofIPv6: isIPv6).filter { !$0.address.isLinkLocal }
    func link(_ index: Int32?) -> Link? { links.first { $0.index == index && $0.flags & loopback == 0 } }
    if let local = vxlan.vxlan?.local, let link = link(addresses.first { $0.address == local }?.link) {
      return link
    }
    // An address of documentation (RFC 5737, RFC 3849) is reached as what no route is about. Nothing is sent there.
    if let route = try underlay.value.routeIfAny(RouteQuery(to: IPAddress(isIPv6 ? "2001:db8::1" : "192.0.2.1")!)),
      route.type == 1,
      let link = link(route.outInterface)
    {
      return link
    }
    // Bridges, such as Docker's own, lead to containers.
    let others = links.filter { link in
      link.isUp && link.flags & loopback == 0 && link.kind != "bridge" && link.master == nil
        && link.mac != nil
        && addresses.contains { $0.link == link.index }
    }
    return others.count == 1 ? others[0] : nil
  }
}
