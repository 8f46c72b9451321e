// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import Netlink

/// The IP that a routed overlay's packets have inside. Numbers are places of map `connection_policy`.
enum InnerIP: UInt32, CaseIterable {
  case v4 = 0
  case v6 = 1

  var isIPv6: Bool { self == .v6 }
  var name: String { isIPv6 ? "IPv6" : "IPv4" }
}

/// What the kernel may decide otherwise about packets of one IP alone.
extension RoutedSession {
  /// Packets of these reach the overlay at all.
  func present(_ addresses: [InnerIP: [InterfaceAddress]]) -> Set<InnerIP> {
    var present: Set<InnerIP> = []
    // An interface's own setting decides only who answers router solicitations (net/ipv6/ip6_output.c, ip6_forward()).
    let forwards = Sysctl.read("net/ipv6/conf/all/forwarding").map { $0 != "0" } ?? false
    if forwards, routes[.v6]?.contains(where: { $0.link == vxlan.index }) == true { present.insert(.v6) }
    // flannel and Calico have a device for each IP where the underlay's is that of the inside; its address tells.
    let has = InnerIP.allCases.filter { ip in addresses[ip]!.contains { $0.link == vxlan.index } }
    if has != [.v6] { present.insert(.v4) }
    return present
  }

  /// Addresses of all interfaces but those of one link.
  func addressesByIP() throws -> [InnerIP: [InterfaceAddress]] {
    try Dictionary(
      uniqueKeysWithValues: InnerIP.allCases.map { ip in
        (ip, try connection.value.addresses(ofIPv6: ip.isIPv6).filter { !$0.address.isLinkLocal })
      })
  }

  /// Against packets with that IP inside, each reason with what to change.
  func objections(inside ip: InnerIP, _ path: ForwardPath, _ facts: RoutedFacts) -> [String] {
    var state: [String] = []
    // The FIB does not know which of them a transform is for.
    if facts.policy.encryption.contains(where: { $0.isIPv6.map { $0 == ip.isIPv6 } ?? true }) {
      state.append("IPsec has policies here (`ip xfrm policy`)")
    }
    state += Self.objections(to: facts.rules[ip]!)
    if options.policy == .connections, path.here.isEmpty, !path.containers.isEmpty {
      state.append("no route leads to its containers' addresses, by which their connections would be known")
    }
    let devices = Set(path.containers.map(\.index)).union([vxlan.index])
    let routes = (routes[ip] ?? []).filter { $0.link == 0 || devices.contains($0.link) }
    func name(_ route: InterfaceRoute) -> String { "the route to \(route.destination.address)/\(route.destination.length)" }
    // The kernel spreads by what a look-up for one packet need not see as it does.
    if let spread = routes.first(where: \.isSpread) {
      state.append("\(name(spread)) has several next hops, or a next-hop object")
    }
    // ip_forward() and ip6_forward() obey it, and bpf_fib_lookup() does not know it unless it is locked.
    if let narrow = routes.first(where: { $0.mtu != nil }) {
      state.append("\(name(narrow)) has an MTU of its own; with `mtu lock \(narrow.mtu!)` it would be served")
    }
    var policy: [String] = []
    switch path.demand(of: facts.policy.overlayRules) {
    case .nothing: break
    case .connections(let rule) where options.policy == .kernel, .someConnections(let rule) where options.policy == .kernel:
      policy.append(
        "netfilter sees forwarded packets: \(rule.name): \(rule.description); --policy connections would serve "
          + "established connections")
    case .connections, .someConnections: break
    case .eachPacket(let rule):
      policy.append("netfilter sees each forwarded packet: \(rule.name): \(rule.description)")
    }
    return options.bypassPolicy ? state : state + policy
  }

  static func objections(to rules: [RoutingRule]) -> [String] {
    rules.flatMap { rule in
      (rule.bySourcePort ? ["rule \(rule.priority) chooses a route by source port"] : [])
        + (rule.byMark ? ["rule \(rule.priority) chooses a route by mark"] : [])
    }
  }
}

/// What was found on the system.
struct RoutedFacts {
  var policy: PolicyFacts
  /// That choose a routing table.
  var rules: [InnerIP: [RoutingRule]]
}
