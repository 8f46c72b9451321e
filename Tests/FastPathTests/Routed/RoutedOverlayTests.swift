// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import FastPath
import Foundation
import Glibc
import Lab
import LinuxSystem
import TestSupport
import Testing
import Traffic

/// Routed overlays without rules of netfilter, flannel's shape and Calico's, by each tier that serves them.
@Suite(.serialized, .enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
struct RoutedOverlayTests {
  static let networks: [LabSpec.Network] = [.flannel, .calico]

  struct Way: Sendable, CustomTestStringConvertible {
    var network: LabSpec.Network
    var tier = Tier.tc
    var offloads = true
    var testDescription: String { "\(network.rawValue), \(tier.rawValue), offloads \(offloads ? "on" : "off")" }
    static let byTC = networks.flatMap { [Way(network: $0), Way(network: $0, offloads: false)] }
  }

  /// Ping, UDP of every length about the MTU and TCP of compared bytes, over IPv4 by Culvert and over IPv6 by the
  /// kernel; with Culvert on both hosts and on either.
  @Test(arguments: Way.byTC + [Way(network: .flannel, tier: .xdp)])
  func carriesWhatTheKernelCarries(_ way: Way) throws {
    let (network, tier, offloads) = (way.network, way.tier, way.offloads)
    let lab = try RoutedLab(network, containers: 2, offloads: offloads)
    var port: UInt16 = 20_000
    for hosts in [[LabHost.a, .b], [.a], [.b]] {
      let services = try hosts.map { try lab.start($0, tier) }
      for service in services { #expect(try service.status().ports.allSatisfy { $0.tier == tier.rawValue }) }
      for (client, server) in [("a1", "b1"), ("b2", "a1"), ("a1", "a2")] {
        let report = Gate(mtu: 1450).run(try lab.path(client, server, port: port))
        #expect(report.passed, "\(hosts): \(report.summary)")
        port += 20
      }
      for service in services {
        #expect(try service.count("encapsulated") > 50 && service.count("decapsulated") > 50)
        // Containers of one host are routed to each other on Calico, and bridged on flannel: there tier xdp has given
        // their ports back by now.
        if hosts == [.a] { #expect(try (service.count("local") > 50) == (network == .calico)) }
        try service.stop()
      }
    }
  }

  /// The kernel's decision is asked for packet by packet: nothing that it has withdrawn is sent there any more.
  @Test(arguments: networks, RoutedLab.tiers)
  func whatIsWithdrawnIsObeyedAtOnce(_ network: LabSpec.Network, _ tier: Tier) throws {
    let lab = try RoutedLab(network)
    let device = network.overlay!.device
    let service = try lab.start(.a, tier)
    #expect(try lab.answers("a1", "b1", count: 20) == 20)
    #expect(try service.count("encapsulated") > 15)
    let route = try lab.shell("hostA", "ip route show dev \(device)").split(separator: "\n").first {
      $0.contains("via")
    }!
    for change in [
      (undo: "ip route add \(route) dev \(device)", do: "ip route del \(route) dev \(device)"),
      (undo: "ip link set \(device) up", do: "ip link set \(device) down"),
    ] {
      try lab.shell("hostA", change.do)
      #expect(try lab.answers("a1", "b1", count: 1, patience: 0.3) == 0)
      if change.do.contains("down") { break }
      try lab.shell("hostA", change.undo)
      #expect(try lab.answers("a1", "b1", count: 3) == 3)
    }
    try service.stop()
  }

  /// By kernel alone and beside Culvert the same, with Culvert gone too: by tier tc with tcx and, as before Linux 6.6,
  /// without, and by tier xdp.
  @Test(arguments: networks, ["tcx", "clsact", "native"])
  func leavesEverythingAsItWas(_ network: LabSpec.Network, mode: String) throws {
    guard mode != "tcx" || TCXLink.isSupported() else { return }
    let lab = try RoutedLab(network)
    _ = try lab.answers("a1", "b1")
    let before = try lab.state()
    let service = try lab.start(.a, mode == "native" ? .xdp : .tc) { $0.avoidsTCX = mode == "clsact" }
    #expect(try lab.answers("a1", "b1") == 5)
    #expect(try service.count("encapsulated") > 0 && service.count("decapsulated") > 0)
    #expect(try service.status().ports.map(\.mode) == [mode, mode])
    let port = try lab.node("a1").hostPort!
    #expect(try lab.shell("hostA", "tc filter show dev \(port) ingress").contains("culvert_stub") == (mode == "clsact"))
    try service.stop()
    let after = try lab.state()
    for (one, other) in zip(before, after) where !one.contains("REACHABLE") && !one.contains("STALE") {
      #expect(one == other)
    }
    #expect(try lab.answers("a1", "b1") == 5)
  }

  /// What a process that was killed leaves of filters does nothing, and the next one takes it away.
  @Test(arguments: networks) func filtersOfTheDeadDoNothingAndGo(_ network: LabSpec.Network) throws {
    let lab = try RoutedLab(network)
    let (device, place) = (network.overlay!.device, lab.host(.a).reference)
    try shell(DeathTests.culvert, "up", "--overlay", device, "--netns", place, "--without-tcx", "--detach")
    defer { _ = try? shell(DeathTests.culvert, "down", "--netns", place) }
    #expect(try lab.answers("a1", "b1") == 5)
    let text = try shell(DeathTests.culvert, "status", "--json", "--netns", place)
    let pid = try #require(JSONDecoder().decode([DeathTests.Running].self, from: Data(text.utf8)).first).pid
    kill(pid, SIGKILL)
    #expect(eventually { Owner.startTime(of: pid) == nil })
    func filters() throws -> [Bool] {
      try [lab.node("a1").hostPort!, "eth0"].map { try lab.shell("hostA", "tc filter show dev \($0) ingress").contains("culvert_stub") }
    }
    #expect(try filters() == [true, true])
    #expect(try lab.answers("a1", "b1") == 5)
    // By tcx where there is: only what was written down takes them away.
    let service = try lab.start(.a)
    #expect(try filters() == (TCXLink.isSupported() ? [false, false] : [true, true]))
    #expect(try lab.answers("a1", "b1") == 5)
    #expect(try service.count("encapsulated") > 0)
    try service.stop()
    #expect(try filters() == [false, false])
    #expect(try !lab.shell("hostA", "tc qdisc").contains("clsact"))
  }

  /// Rules of netfilter about forwarded packets leave them to the kernel, and are named.
  @Test(arguments: networks) func rulesKeepItFromCarrying(_ network: LabSpec.Network) throws {
    let lab = try RoutedLab(network, rules: true)
    let service = try lab.start(.a)
    let status = try service.status()
    #expect(status.ports.allSatisfy { $0.tier == nil })
    #expect(status.ports[0].reason?.contains("netfilter sees forwarded packets") == true)
    try lab.shell("hostA", "nft flush ruleset")
    #expect(try eventually { try service.status().ports.allSatisfy { $0.tier == "tc" } })
    #expect(try lab.answers("a1", "b1") == 5)
    try service.stop()
  }

  /// A container that comes later, and one that goes.
  @Test func portsComeAndGo() throws {
    let lab = try RoutedLab(.flannel, containers: 2)
    let service = try lab.start(.a)
    try lab.shell("hostA", "ip link set va2 nomaster")
    #expect(try eventually { try service.status().ports.map(\.name) == ["eth0", "va1"] })
    try lab.shell("hostA", "ip link set va2 master cni0")
    #expect(try eventually { try service.status().ports.last?.tier == "tc" })
    #expect(try lab.answers("a2", "b1", count: 10) == 10)
    #expect(try service.count("encapsulated", of: "va2") > 0)
    try service.stop()
  }

  /// The kernel's router obeys it; a program's look-up would only were it locked.
  @Test func aRoutesOwnMTUIsTheKernels() throws {
    let lab = try RoutedLab(.flannel)
    let service = try lab.start(.a)
    #expect(try lab.answers("a1", "b1") == 5)
    let route = "ip route change 198.19.128.0/24 via 198.19.128.0 dev flannel.1 onlink"
    func isTold() throws -> Bool {
      try lab.shell("a1", "ip route flush cache")
      do { try lab.shell("a1", "ping -n -q -M do -c 1 -W 0.5 -s 1300 198.19.128.1") } catch is ShellFailure {}
      return try lab.shell("a1", "ip route get 198.19.128.1").contains("mtu 1300")
    }
    try lab.shell("hostA", "\(route) mtu 1300")
    #expect(try eventually(2) { try service.status().left?["IPv4"]?.contains("MTU of its own") == true })
    #expect(try isTold())
    try lab.shell("hostA", "\(route) mtu lock 1300")
    #expect(try eventually(2) { try service.status().left == nil })
    let before = try service.count("encapsulated")
    #expect(try lab.answers("a1", "b1") == 5)
    #expect(try isTold() && service.count("encapsulated") > before && service.count("mtu") > 0)
    try service.stop()
  }

  /// By which of them a packet goes is the kernel's to say, and so is what lies behind them: rules about those addresses
  /// concern the overlay too.
  @Test func aRouteWithSeveralNextHopsIsTheKernels() throws {
    let lab = try RoutedLab(.flannel)
    let service = try lab.start(.a)
    #expect(try lab.answers("a1", "b1") == 5)
    let hop = "nexthop via 198.19.128.0 dev flannel.1 onlink"
    let place = "198.19.200.0/24"
    try lab.shell("hostA", "ip nexthop add id 7 via 198.19.128.0 dev flannel.1 onlink")
    for (spread, reason) in [("\(hop) \(hop)", "several next hops"), ("nhid 7", "next-hop object")] {
      try lab.shell("hostA", "ip route add \(place) \(spread)")
      #expect(try eventually(2) { try service.status().left?["IPv4"]?.contains(reason) == true }, "\(reason)")
      #expect(try lab.answers("a1", "b1") == 5)
      try lab.shell("hostA", "ip route del \(place)")
      #expect(try eventually(2) { try service.status().left == nil })
    }
    try service.stop()
  }

  /// Without a name it is found; what would be done is told without doing it.
  @Test(arguments: networks, [Tier.tc, .xdp])
  func isFoundAndPlanned(_ network: LabSpec.Network, _ tier: Tier) throws {
    let lab = try RoutedLab(network)
    let each = FastPathOptions(overlay: "", namespace: lab.host(.a).reference, tier: tier)
    let agent = AgentOptions(overlays: nil, each: each)
    func state() throws -> String { try lab.shell("hostA", "ip link") + lab.shell("a1", "ethtool -k eth0") }
    let before = try state()
    let plan = try #require(try FastPathService.plan(agent).first)
    #expect(plan.overlay == network.overlay!.device && plan.isServed)
    #expect(plan.ports.map(\.role) == ["uplink", "container"] && plan.ports.allSatisfy { $0.reason == nil })
    #expect(try state() == before)
    #expect(plan.ports[1].changes.contains { $0.contains("tx-checksum-ip-generic off") } == (tier == .xdp))
    let service = try FastPathService.start(agent)
    #expect(try lab.shell("a1", "ethtool -k eth0").contains("tx-checksum-ip-generic: off") == (tier == .xdp))
    #expect(try eventually { try lab.answers("a1", "b1") == 5 && service.count("encapsulated") > 3 })
    try service.stop()
  }

  /// By tier xdp the second is refused, by the first's name; by tier tc both are served.
  @Test func anUplinkHasOneXDPProgram() throws {
    let lab = try RoutedLab(.flannel)
    try lab.shell("hostA", "ip link add flannel.2 type vxlan id 2 dev eth0 local 198.18.0.1 dstport 8473 nolearning")
    try lab.shell("hostA", "ip link set flannel.2 up")
    func start(_ tier: Tier) throws -> FastPathService {
      let each = FastPathOptions(overlay: "", namespace: lab.host(.a).reference, tier: tier)
      return try FastPathService.start(AgentOptions(overlays: ["flannel.1", "flannel.2"], each: each))
    }
    let refusal = #expect(throws: Failure.self) { try start(.xdp) }
    #expect(refusal?.advice?.contains("Its one XDP program is that of flannel.1") == true, "\(refusal.map { "\($0)" } ?? "")")
    #expect(try !lab.shell("hostA", "ip link").contains("xdp"))
    let service = try start(.tc)
    #expect(try service.statuses().map(\.overlay) == ["flannel.1", "flannel.2"])
    try service.stop()
  }

  @Test func whatIsNotServedIsRefused() throws {
    let lab = try RoutedLab(.flannel)
    let refusal = #expect(throws: Failure.self) { try lab.start(.a, .afxdp) }
    #expect(refusal?.advice?.contains("tiers tc and xdp serve routed overlays") == true)
    #expect(throws: Failure.self) { try lab.start(.a) { $0.strict = true } }
  }
}
