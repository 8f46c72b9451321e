// SPDX-License-Identifier: Apache-2.0
import Lab
import LinuxSystem
import TestSupport
import Testing
import Traffic

@testable import FastPath

/// Routed overlays with IPv6 inside, outside or both, by tier tc: what is carried, and what changes meanwhile.
@Suite(.serialized, .enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
struct RoutedIPv6Tests {
  /// Ping, UDP of every length about the MTU and TCP of compared bytes, of both IPs over IPv6.
  @Test(arguments: [(LabSpec.Network.flannel, true), (.calico, false)])
  func carriesWhatTheKernelCarriesOverIPv6(_ network: LabSpec.Network, _ offloads: Bool) throws {
    let lab = try RoutedLab(network, offloads: offloads, overIPv6: true)
    var port: UInt16 = 20_000
    for hosts in [[LabHost.a, .b], [.a]] {
      let services = try hosts.map { try lab.start($0) }
      for (client, server) in [("a1", "b1"), ("b1", "a1")] {
        let report = Gate(mtu: lab.mtu).run(try lab.path(client, server, port: port))
        #expect(report.passed, "\(hosts): \(report.summary)")
        port += 20
      }
      for service in services {
        #expect(try service.status().ports.allSatisfy { $0.tier == "tc" } && service.status().left == nil)
        #expect(try service.count("encapsulated") > 50 && service.count("decapsulated") > 50)
        try service.stop()
      }
    }
    for node in lab.lab.nodes { #expect(try node.run { try ChecksumErrors.here() } == 0, "\(node.name)") }
  }

  /// Something that changes on hostA, and what it makes of packets to b1.
  private struct Change {
    var name: String
    var commands: [String]
    var undo: [String]
    /// Whether Culvert carries what the kernel would carry.
    var isServed = true
    /// Of why it is left to the kernel.
    var reason: String?
  }

  private static func changes(_ device: String) -> [Change] {
    let (subnet, gateway, b1) = ("2001:2::b:0/112", "2001:2:0:2::2", "2001:2::b:1")
    let route = "ip -6 route replace \(subnet) via \(gateway) dev \(device) onlink"
    let neighbour = "ip neigh replace \(gateway) lladdr 02:c0:00:0b:03:00 dev \(device) nud permanent"
    func sysctl(_ name: String, _ value: Int) -> String { "sysctl -qw net.ipv6.\(name)=\(value)" }
    return [
      Change(name: "nothing", commands: [], undo: []),
      Change(name: "no route", commands: ["ip -6 route del \(subnet)"], undo: [route]),
      Change(
        name: "a blackhole", commands: ["ip -6 route add blackhole \(b1)"], undo: ["ip -6 route del blackhole \(b1)"]),
      Change(name: "no neighbour", commands: ["ip neigh del \(gateway) dev \(device)"], undo: [neighbour]),
      Change(
        name: "a smaller MTU", commands: ["\(route) mtu 1300"], undo: [route], isServed: false, reason: "an MTU of its own"),
      Change(name: "a smaller MTU that is locked", commands: ["\(route) mtu lock 1300"], undo: [route]),
      Change(
        name: "several next hops",
        commands: [
          "ip neigh replace 2001:2:0:2::3 lladdr 02:c0:00:0b:03:00 dev \(device) nud permanent",
          "ip -6 route del \(subnet)",
          "ip -6 route add \(subnet) nexthop via \(gateway) dev \(device) onlink nexthop via 2001:2:0:2::3 dev \(device) onlink",
        ], undo: ["ip -6 route del \(subnet)", route], isServed: false, reason: "several next hops"),
      Change(
        name: "a next-hop object",
        commands: [
          "ip nexthop add id 7 via \(gateway) dev \(device) onlink", "ip -6 route del \(subnet)",
          "ip -6 route add \(subnet) nhid 7",
        ], undo: ["ip -6 route del \(subnet)", "ip nexthop del id 7", route], isServed: false, reason: "next-hop object"),
      Change(
        name: "a rule about marks", commands: ["ip -6 rule add fwmark 9 lookup 99 pref 100"],
        undo: ["ip -6 rule del pref 100"], isServed: false, reason: "by mark"),
      Change(
        name: "a rule about the sender",
        commands: ["ip -6 rule add from 2001:2::a:1 unreachable pref 100"], undo: ["ip -6 rule del pref 100"]),
      Change(
        name: "no forwarding", commands: [sysctl("conf.all.forwarding", 0)], undo: [sysctl("conf.all.forwarding", 1)]),
      Change(
        name: "no forwarding by the bridge alone", commands: [sysctl("conf.cni0.forwarding", 0)],
        undo: [sysctl("conf.cni0.forwarding", 1)], isServed: false),
      // Its addresses and routes go with it.
      Change(name: "no IPv6 on the bridge", commands: [sysctl("conf.cni0.disable_ipv6", 1)], undo: []),
    ]
  }

  /// What a container's packets come to: whether one is answered, and whether a longer one is too big.
  private struct Seen: Equatable {
    var isAnswered: Bool
    var isTooBig: Bool
  }

  private func seen(_ lab: RoutedLab) throws -> Seen {
    // What it learned of path MTUs.
    try lab.shell("a1", "ip -6 route flush cache")
    let isAnswered = try lab.answers("a1", "b1", count: 1, patience: 0.3, ipv6: true) == 1
    let text: String
    do {
      text = try lab.shell("a1", "ping -6 -n -q -M do -c 1 -W 0.3 -s 1300 2001:2::b:1")
    } catch let failure as ShellFailure { text = failure.output }
    let route = try lab.shell("a1", "ip -6 route get 2001:2::b:1")
    return Seen(isAnswered: isAnswered, isTooBig: route.contains("mtu 1300") && !text.contains(" 1 received"))
  }

  /// With the kernel alone and with Culvert: the same.
  @Test func changesAreObeyed() throws {
    let lab = try RoutedLab(.flannel)
    let changes = Self.changes("flannel.1")
    func each(_ look: (Change) throws -> Void) throws {
      for change in changes {
        for command in change.commands { try lab.shell("hostA", command) }
        try look(change)
        for command in change.undo { try lab.shell("hostA", command) }
      }
    }
    var kernel: [Seen] = []
    try each { _ in kernel.append(try seen(lab)) }
    #expect(kernel[0] == Seen(isAnswered: true, isTooBig: false) && kernel.contains(Seen(isAnswered: true, isTooBig: true)))
    for command in [
      "sysctl -qw net.ipv6.conf.cni0.disable_ipv6=0", "ip addr add 2001:2::a:fffe/112 dev cni0 nodad",
      "ip addr add fe80::ecee:eeff:feee:eeee/64 dev cni0 nodad",
    ] { try lab.shell("hostA", command) }

    let service = try lab.start(.a)
    #expect(try lab.answers("a1", "b1", count: 3, ipv6: true) == 3)
    var place = 0
    try each { change in
      if let reason = change.reason {
        let isNamed = try eventually(2) { try service.status().left?["IPv6"]?.contains(reason) == true }
        #expect(isNamed, "\(change.name)")
      } else {
        // What was left to the kernel by the last one is served again.
        #expect(try eventually(2) { try service.status().left == nil && service.status().ports[0].reason == nil })
      }
      let before = try service.count("encapsulated")
      #expect(try seen(lab) == kernel[place], "\(change.name)")
      if change.isServed, kernel[place].isAnswered {
        let isCarried = try eventually(2) {
          _ = try lab.answers("a1", "b1", count: 1, patience: 0.3, ipv6: true)
          return try service.count("encapsulated") > before
        }
        #expect(isCarried, "\(change.name)")
      } else {
        #expect(try service.count("encapsulated") == before, "\(change.name)")
      }
      // IPv4's are no matter of theirs.
      #expect(try lab.answers("a1", "b1", count: 1) == 1, "\(change.name)")
      place += 1
    }
    try service.stop()
  }

  /// Nothing is taken in for an address that the host has no more, or not yet.
  @Test func anAddressThatGoesAndComesBack() throws {
    let lab = try RoutedLab(.flannel, overIPv6: true)
    let service = try lab.start(.a)
    func isThrough() throws -> Bool { try lab.answers("b1", "a1", count: 1, patience: 0.3, ipv6: true) == 1 }
    #expect(try eventually { try isThrough() && service.count("decapsulated") > 0 })
    try lab.shell("hostA", "ip addr del 2001:2:0:1::1/64 dev eth0")
    #expect(try eventually { try !isThrough() })
    let before = try service.count("decapsulated")
    #expect(try !isThrough() && service.count("decapsulated") == before)
    try lab.shell("hostA", "ip addr add 2001:2:0:1::1/64 dev eth0")
    #expect(try eventually { try isThrough() && service.count("decapsulated") > before })
    try service.stop()
  }

  /// Calico's on a node without IPv4: its ports answer neighbour solicitations alone.
  @Test func aPortThatAnswersNeighbourSolicitationsAlone() throws {
    let lab = try RoutedLab(.calico)
    for line in ["ipv4.conf.calia1.proxy_arp=0", "ipv6.conf.calia1.proxy_ndp=1"] {
      try lab.shell("hostA", "sysctl -qw net.\(line)")
    }
    let service = try lab.start(.a)
    #expect(try service.status().ports.last?.name == "calia1" && service.status().ports.allSatisfy { $0.tier == "tc" })
    let before = try service.countWhenCarried("encapsulated") { _ = try lab.answers("a1", "b1", ipv6: true) }
    #expect(try lab.answers("a1", "b1", count: 5, ipv6: true) == 5)
    #expect(try service.count("encapsulated") > before + 3)
    try lab.shell("hostA", "sysctl -qw net.ipv6.conf.calia1.proxy_ndp=0")
    #expect(try eventually(2) { try service.status().ports.map(\.name) == ["eth0"] })
    try service.stop()
  }

  /// As flannel has it on a node with both IPs: a device for each, over one bridge.
  @Test func aDeviceForEachIPOverOneBridge() throws {
    let lab = try RoutedLab(.flannel, rules: true)
    for (host, own, far, other) in [(LabHost.a, 1, 2, "b"), (.b, 2, 1, "a")] {
      let mac = lab.host(host == .a ? .b : .a).overlayMAC
      for line in [
        "addr add 2001:2:0:1::\(own)/64 dev eth0 nodad", "addr del 2001:2:0:2::\(own)/128 dev flannel.1",
        "link add flannel-v6.1 address \(lab.host(host).overlayMAC) mtu 1430 type vxlan id 1 dev eth0 local 2001:2:0:1::\(own) "
          + "dstport 8472 nolearning", "addr add 2001:2:0:2::\(own)/128 dev flannel-v6.1", "link set flannel-v6.1 up",
        "neigh replace 2001:2:0:2::\(far) lladdr \(mac) dev flannel-v6.1 nud permanent",
        "route replace 2001:2::\(other):0/112 via 2001:2:0:2::\(far) dev flannel-v6.1 onlink",
        "-6 neigh flush dev flannel.1 nud permanent",
      ] { try lab.shell(host.rawValue, "ip \(line)") }
      while try lab.shell(host.rawValue, "ip -6 route show dev flannel.1").contains("2001:2::\(other):0") {
        try lab.shell(host.rawValue, "ip -6 route del 2001:2::\(other):0/112 dev flannel.1")
      }
      try lab.shell(host.rawValue, "bridge fdb append \(mac) dev flannel-v6.1 dst 2001:2:0:1::\(far) self permanent")
      for node in lab.lab.nodes where node.host == host && !node.isHost {
        try lab.shell(node.name, "ip link set eth0 mtu 1430")
        for link in [node.hostPort!, "cni0"] { try lab.shell(host.rawValue, "ip link set \(link) mtu 1430") }
      }
    }
    let agent = AgentOptions(
      overlays: nil,
      each: FastPathOptions(overlay: "", namespace: lab.host(.a).reference, policy: .connections))
    let service = try FastPathService.start(agent)
    #expect(
      try eventually {
        let statuses = try service.statuses()
        return statuses.map(\.overlay).sorted() == ["flannel-v6.1", "flannel.1"]
          && statuses.allSatisfy { $0.ports.allSatisfy { $0.tier == "tc" } && $0.left == nil }
      })
    let report = Gate(mtu: 1430).run(try lab.path("a1", "b1", port: 20_100))
    #expect(report.passed, "\(report.summary)")
    for name in ["flannel.1", "flannel-v6.1"] {
      let directory = try #require(
        try Overlays.directories(namespace: lab.host(.a).reference, all: false, named: [name]).first)
      let stats = try #require(try Overlays.stats(directory))
      let forwarded = stats.ports.reduce(into: [String: UInt64]()) { all, port in
        for (verdict, count) in port.forwarded { all[verdict, default: 0] += count.packets }
      }
      #expect(forwarded["encapsulated"] ?? 0 > 20 && forwarded["decapsulated"] ?? 0 > 20, "\(name): \(forwarded)")
    }
    try service.stop()
  }
}
