// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import Netlink
import PacketHeaders
import TestSupport
import Testing
import Traffic

@testable import Lab

/// Networks `flannel` and `calico`: what their agents program, and what becomes of packets by it.
@Suite(.enabled(if: mayUseKernel, Comment(rawValue: needsRoot)), .serialized)
struct RoutedTests {
  static let networks: [LabSpec.Network] = [.flannel, .calico]
  let timing = LoadTiming(warmUp: 0, duration: 0.1)

  private func station(_ lab: Lab, _ name: String, asService: Bool = false) throws -> Station {
    let node = try lab.node(name)
    return Station(
      name: name, namespace: SharedNamespace(try node.namespace.duplicate()), ipv4: node.address,
      ipv6: node.address6, seenAs: asService ? node.service : nil)
  }

  private func path(
    _ lab: Lab, _ client: String, _ server: String, _ port: UInt16 = 20_000, asService: Bool = false
  ) throws -> Path {
    Path(
      client: try station(lab, client), server: try station(lab, server, asService: asService), port: port)
  }

  private func rules(_ lab: Lab, _ node: String, _ table: String) throws -> [Substring] {
    try lab.node(node).run { try sh("nft list table \(table)") }.split(separator: "\n")
  }

  /// Packets that a rule's counter has seen; nil where there is no such rule, or none with a counter.
  private func packets(_ rule: String, _ lines: [Substring]) -> Int? {
    lines.first { $0.contains(rule) && $0.contains("counter packets ") }
      .flatMap { $0.split(separator: "counter packets ").last?.split(separator: " ").first }
      .flatMap { Int($0) }
  }

  @Test(arguments: networks)
  func hostsReachContainersOfBoth(_ network: LabSpec.Network) throws {
    let lab = try Lab.make(LabSpec(network))
    for (from, to) in [("hostA", "a1"), ("hostA", "b1"), ("hostB", "a1")] {
      let address = try lab.node(to).address
      _ = try lab.node(from).run { try sh("ping -c1 -W2 -n -q \(address)") }
    }
    _ = try lab.node("a1").run { try sh("ping -c1 -W2 -n -q 198.18.0.2") }
  }

  /// The server of udp-rr takes requests only from the client's own address: destination NAT alone is on the way.
  @Test(arguments: networks, [("a1", "b1"), ("b2", "a2"), ("a1", "a2")])
  func aServiceLeadsToItsContainer(_ network: LabSpec.Network, _ ends: (String, String)) throws {
    let lab = try Lab.make(LabSpec(network, containers: 2))
    let path = try path(lab, ends.0, ends.1, 59_999, asService: true)
    #expect("\(try station(lab, "b2", asService: true).seenAs!)" == "198.18.130.2")
    let datagrams = try UDPRoundTrip(size: 64, timing: timing).run(path)
    #expect(datagrams.requests > 0 && datagrams.timeouts == 0)
    #expect(try TCPRoundTrip(size: 64, timing: timing).run(path).requests > 0)
    let nat = try rules(lab, ends.0.hasPrefix("a") ? "hostA" : "hostB", "ip nat")
    #expect(packets("dnat to \(path.server.ipv4)", nat).map { $0 >= 2 } == true, "by the service's rule")
    #expect(nat.filter { $0.contains("masquerade") }.allSatisfy { $0.contains("counter packets 0 ") })
  }

  @Test(arguments: networks)
  func portsThatAServiceHasNotLeadNowhere(_ network: LabSpec.Network) throws {
    let lab = try Lab.make(LabSpec(network))
    let path = try path(lab, "a1", "b1", 19_999, asService: true)
    #expect(throws: Failure.self) { try TCPRoundTrip(size: 64, timing: timing).run(path) }
  }

  /// flannel's chains let containers do as they like, Calico's what a policy names.
  @Test(arguments: networks)
  func whatIsNewPassesByPolicy(_ network: LabSpec.Network) throws {
    let lab = try Lab.make(LabSpec(network))
    for overIPv6 in [false, true] {
      var path = try path(lab, "a1", "b1", 20_001)
      path.overIPv6 = overIPv6
      #expect(try TCPRoundTrip(size: 64, timing: timing).run(path).requests > 0)
      path.port = 19_999
      if network == .flannel {
        #expect(try TCPRoundTrip(size: 64, timing: timing).run(path).requests > 0)
      } else {
        #expect(throws: Failure.self) { try TCPRoundTrip(size: 64, timing: timing).run(path) }
      }
      let filter = try rules(lab, "hostB", overIPv6 ? "ip6 filter" : "ip filter")
      #expect(packets("ct state established,related", filter).map { $0 > 3 } == true, "the chains saw it")
    }
  }

  /// A container that sends as another is stopped by Calico's reverse path check.
  @Test func calicoDropsForgedSources() throws {
    let lab = try Lab.make(LabSpec(.calico, containers: 2))
    try lab.node("a2").run {
      _ = try sh("ip address add 198.19.0.1/32 dev eth0")
      #expect(throws: ShellFailure.self) { try sh("ping -c1 -W0.3 -n -q -I 198.19.0.1 198.19.128.1") }
      _ = try sh("ping -c1 -W2 -n -q -I 198.19.0.2 198.19.128.1")
    }
  }

  @Test func flannelIsShapedAsItsAgentMakesIt() throws {
    let lab = try Lab.make(LabSpec(.flannel))
    try lab.host(.a).run {
      let route = try RouteConnection()
      let device = try route.link(named: "flannel.1")
      #expect(device.vxlan?.vni == 1 && device.vxlan?.port == 8472 && device.vxlan?.learning == false)
      #expect(device.vxlan?.udpChecksum == true && device.master == nil && device.mtu == 1450)
      #expect(
        try sh("ip route").contains("198.19.128.0/24 via 198.19.128.0 dev flannel.1 proto static onlink"))
      #expect(
        try sh("ip neigh show dev flannel.1").contains("198.19.128.0 lladdr 02:c0:00:0b:03:00 PERMANENT"))
      let entries = try route.fdb(of: device.index)
      #expect(entries.map(\.destination) == [.v4(lab.host(.b).address)])
      let port = try route.link(named: "va1")
      #expect(port.master == (try route.link(named: "cni0").index))
      #expect(try FileText.read("/proc/sys/net/bridge/bridge-nf-call-iptables") == "1\n")
    }
  }

  @Test func calicoIsShapedAsItsAgentMakesIt() throws {
    let lab = try Lab.make(LabSpec(.calico))
    try lab.host(.a).run {
      let route = try RouteConnection()
      let device = try route.link(named: "vxlan.calico")
      #expect(device.vxlan?.vni == 4096 && device.vxlan?.port == 4789 && device.vxlan?.learning == false)
      #expect(try route.links().allSatisfy { $0.master == nil && $0.kind != "bridge" })
      let routes = try sh("ip route")
      #expect(routes.contains("198.19.0.1 dev calia1") && routes.contains("blackhole 198.19.0.0/24"))
      #expect(try route.link(named: "calia1").mac == MACAddress(value: 0xeeee_eeee_eeee))
    }
    try lab.node("a1").run {
      _ = try sh("ping -c1 -W2 -n -q 198.19.128.1")
      #expect(try sh("ip neigh show 198.18.255.1").contains("ee:ee:ee:ee:ee:ee"))
    }
  }

  @Test(arguments: networks)
  func rulesGoWithTheLab(_ network: LabSpec.Network) throws {
    let lab = try Lab.make(LabSpec(network))
    #expect(try lab.host(.a).run { try sh("nft list tables") }.contains("nat"))
    try lab.tearDown()
    #expect(try lab.host(.a).run { try sh("nft list tables") }.isEmpty)
    #expect(try lab.host(.a).run { try RouteConnection().links() }.map(\.name) == ["lo"])
  }

  @Test(arguments: networks)
  func nothingIsSentUnasked(_ network: LabSpec.Network) throws {
    let lab = try Lab.make(LabSpec(network))
    #expect(try whatIsSentUnasked(in: lab) == nil)
  }

  /// What host A's rules ask, of its containers' packets.
  private func demand() throws -> String {
    let links = try RouteConnection().links()
    let overlay = try #require(links.first { $0.kind == "vxlan" })
    let bridge = links.first { $0.kind == "bridge" }
    let ports = links.filter { bridge == nil ? $0.name.hasPrefix("cali") : $0.master == bridge?.index }
    #expect(ports.count == 3)
    func device(_ link: Link) -> ForwardPath.Device { .init(name: link.name, index: link.index) }
    let path = ForwardPath(
      containers: (bridge.map { [$0] } ?? ports).map(device), bridgePorts: bridge == nil ? [] : ports.map(device),
      overlay: device(overlay))
    return switch path.demand(of: try NetfilterReader().rules()) {
    case .nothing: "nothing"
    case .connections: "connections"
    case .someConnections(let objection): "some: \(objection.effect) in \(objection.ruleChain)"
    case .eachPacket(let objection): "each: \(objection.effect) in \(objection.ruleChain)"
    }
  }

  /// For a fast path: they decide by connection, and accept each that is established.
  @Test(arguments: networks) func theChainsDecideByConnection(network: LabSpec.Network) throws {
    let lab = try Lab.make(LabSpec(network, containers: 3))
    try lab.node("hostA").run {
      #expect(try demand() == "connections")
      // Of the user's, before them.
      try sh("nft insert rule ip filter FORWARD tcp dport 25 drop")
      #expect(try demand() == "some: drops in FORWARD")
      try sh("nft insert rule ip filter FORWARD limit rate over 1000/second drop")
      #expect(try demand() == "each: drops by a limit in FORWARD")
    }
  }
}
