// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import Netlink
import PacketHeaders
import SystemPackage

/// Where an overlay lives: its devices, its uplink, and the namespaces of both.
/// Bridge and VXLAN device may live in another namespace than the uplink
/// (Docker does this); the VXLAN device's route look-ups happen in the uplink's.
final class OverlayPlace {
  let bridge: Link
  let vxlan: Link
  let uplink: Link
  let identity: NetworkNamespace.Identity
  let overlayConnection: Box<RouteConnection>
  let overlayMonitor: Box<RouteMonitor>
  let underlayConnection: Box<RouteConnection>
  /// The overlay's own where both are in one namespace.
  let underlayMonitor: Box<RouteMonitor>
  /// ICMP errors about what the overlay sends.
  let errors: Box<ErrorMonitor>
  private let underlayNamespace: Box<NetworkNamespace>?

  var isSplit: Bool { underlayNamespace != nil }

  /// Runs `body` in the underlay's namespace.
  func inUnderlay<T>(_ body: () throws -> T) throws -> T {
    guard let underlayNamespace else { return try body() }
    return try underlayNamespace.value.run(body)
  }

  /// Finds everything from `--overlay`; runs in the overlay's namespace.
  init(_ options: FastPathOptions) throws {
    let here = try NetworkNamespace.current()
    identity = here.identity
    // Followed before it is dumped, so that no change falls between.
    overlayMonitor = Box(try RouteMonitor())
    overlayConnection = Box(try RouteConnection())
    let links = try overlayConnection.value.links()
    (bridge, vxlan) = try Self.devices(named: options.overlay, in: links)
    try Self.requirePlain(vxlan)

    let underlay = try Self.underlay(of: vxlan, options, asking: overlayConnection)
    if let underlay, underlay.value.identity != here.identity {
      underlayNamespace = underlay
      (underlayMonitor, underlayConnection, errors) = try underlay.value.run {
        (Box(try RouteMonitor()), Box(try RouteConnection()), Box(try ErrorMonitor()))
      }
    } else {
      underlayNamespace = nil
      underlayMonitor = overlayMonitor
      underlayConnection = overlayConnection
      errors = Box(try ErrorMonitor())
    }
    uplink = try Self.findUplink(
      vxlan, options, underlay: underlayConnection, overlay: overlayConnection)
    // What the overlay is made of cannot carry it, whatever the name says.
    let isOfOverlay = uplink.index == bridge.index || uplink.master == bridge.index
    guard underlayNamespace != nil || !isOfOverlay else {
      throw Failure(
        "use as uplink", uplink.name,
        advice:
          "It is \(uplink.index == bridge.index ? "the overlay's bridge itself" : "a port of \(bridge.name)"); "
          + "name the interface that the VXLAN packets leave by.", status: .usage)
    }
  }

  private static func devices(named name: String, in links: [Link]) throws -> (bridge: Link, vxlan: Link) {
    guard let device = links.first(where: { $0.name == name }) else {
      let overlays = links.filter { $0.kind == "vxlan" }.map(\.name)
      throw Failure(
        "find", name, errno: Errno(rawValue: 19),
        advice: overlays.isEmpty
          ? "This namespace has no VXLAN device; name the overlay's with --netns."
          : "VXLAN devices here: \(overlays.joined(separator: ", ")).")
    }
    switch device.kind {
    case "vxlan":
      guard let bridge = links.first(where: { $0.index == device.master && $0.kind == "bridge" }) else {
        throw Failure(
          "serve", name, advice: "\(name) is not a port of a bridge; Culvert serves bridged overlays.",
          status: .unavailable)
      }
      return (bridge, device)
    case "bridge":
      let devices = links.filter { $0.kind == "vxlan" && $0.master == device.index }
      guard devices.count == 1 else {
        throw Failure(
          "serve", name,
          advice: devices.isEmpty
            ? "No VXLAN device is a port of \(name)."
            : "\(name) has \(devices.count) VXLAN devices (\(devices.map(\.name).joined(separator: ", "))); "
              + "one a bridge is served.",
          status: .unavailable)
      }
      return (device, devices[0])
    default:
      throw Failure(
        "serve", name,
        advice:
          "\(name) is \(device.kind.map { "a \($0) device" } ?? (device.name == "lo" ? "the loopback device" : "a hardware device")); give a bridge or a VXLAN device.",
        status: .usage)
    }
  }

  /// ARP proxying and miss notifications concern packets that go to the kernel anyway.
  private static let harmlessExtensions: Set<String> = ["proxy", "l2miss", "l3miss"]

  private static func requirePlain(_ vxlan: Link) throws {
    guard let config = vxlan.vxlan else {
      throw Failure("read", "\(vxlan.name)'s configuration", status: .unavailable)
    }
    let odd = config.extensions.filter { !harmlessExtensions.contains($0) }
    guard odd.isEmpty else {
      throw Failure(
        "serve", vxlan.name,
        advice: "It uses \(odd.joined(separator: ", ")), which the fast path does not do.",
        status: .unavailable)
    }
    guard !config.isIPv6 else {
      throw Failure(
        "serve", vxlan.name, advice: "Its underlay is IPv6; the fast path does IPv4 outside only.",
        status: .unavailable)
    }
  }

  private static func underlay(
    of vxlan: Link, _ options: FastPathOptions, asking connection: Box<RouteConnection>
  ) throws -> Box<NetworkNamespace>? {
    if let given = options.uplinkNamespace { return Box(try NetworkNamespace.open(given)) }
    guard let id = vxlan.peerNamespaceID else { return nil }
    guard let found = try NamespaceSearch.find(id, for: connection.value) else {
      throw Failure(
        "find", "the namespace of \(vxlan.name)'s uplink",
        advice: "No process and no mount here holds it; name it with --uplink-netns.")
    }
    return Box(found)
  }

  private static func findUplink(
    _ vxlan: Link, _ options: FastPathOptions, underlay: Box<RouteConnection>, overlay: Box<RouteConnection>
  ) throws -> Link {
    let links = try underlay.value.links()
    if let name = options.uplink {
      guard let link = links.first(where: { $0.name == name }) else {
        throw Failure(
          "find uplink", name, errno: Errno(rawValue: 19),
          advice: "Its namespace has: \(links.map(\.name).joined(separator: ", ")).")
      }
      return link
    }
    if let index = vxlan.vxlan?.link, let link = links.first(where: { $0.index == index }) { return link }
    // Not bound to a device: the route to a remote VTEP tells.
    for entry in try overlay.value.fdb() where entry.link == vxlan.index && entry.isOfDevice {
      guard case .v4(let remote)? = entry.destination,
        let route = try underlay.value.routeIfAny(RouteQuery(to: remote)),
        let link = links.first(where: { $0.index == route.outInterface })
      else { continue }
      return link
    }
    throw Failure(
      "find", "the uplink of \(vxlan.name)",
      advice: "The device names none and has no remote VTEP to route to; name it with --uplink.")
  }
}
