// SPDX-License-Identifier: Apache-2.0
import Foundation
import Glibc
import Lab
import LinuxSystem
import Synchronization
import TestSupport
import Testing
import Traffic

@testable import FastPath

/// Routed overlays on hosts with the rules of a cluster: `--policy connections`.
@Suite(.serialized, .enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
struct RoutedConnectionTests {
  static let networks = RoutedOverlayTests.networks
  typealias Way = RoutedOverlayTests.Way

  /// What connections are over, on which network.
  struct Inside: Sendable, CustomTestStringConvertible {
    var network: LabSpec.Network
    var ipv6 = false
    var tier = Tier.tc
    var testDescription: String { "\(network.rawValue), \(ipv6 ? "IPv6" : "IPv4"), \(tier.rawValue)" }
    var family: String { ipv6 ? "ip6" : "ip" }
    /// Which leads nowhere by itself.
    var service: String { ipv6 ? "2001:2:0:77::7" : "198.18.77.7" }
    func address(_ node: LabNode) -> String { ipv6 ? "\(node.address6!)" : "\(node.address)" }
  }
  static let insides = [
    Inside(network: .flannel), Inside(network: .calico), Inside(network: .flannel, ipv6: true),
    Inside(network: .flannel, tier: .xdp), Inside(network: .calico, ipv6: true, tier: .xdp),
  ]

  private func start(_ lab: RoutedLab, _ host: LabHost, _ tier: Tier = .tc) throws -> FastPathService {
    let service = try lab.start(host, tier) { $0.policy = .connections }
    let isServed = try eventually { try service.status().ports.allSatisfy { $0.tier == tier.rawValue } }
    let reasons = try service.status().ports.map { "\($0.name): \($0.reason ?? "served")" }
    #expect(isServed, "\(reasons)")
    return service
  }

  /// Ping, UDP of every length about the MTU and TCP of compared bytes, to a container and to a service's address, with
  /// Culvert on both hosts and on either.
  @Test(arguments: Way.byTC + [Way(network: .calico, tier: .xdp)])
  func carriesWhatTheKernelCarries(_ way: Way) throws {
    let lab = try RoutedLab(way.network, containers: 2, rules: true, offloads: way.offloads)
    var port: UInt16 = 20_000
    for hosts in [[LabHost.a, .b], [.a], [.b]] {
      let services = try hosts.map { try start(lab, $0, way.tier) }
      for (client, server) in [("a1", "b1"), ("b2", "a1"), ("a1", "a2")] {
        for asService in hosts.count == 2 ? [false, true] : [true] {
          let report = Gate(mtu: 1450).run(try lab.path(client, server, port: port, asService: asService))
          #expect(report.passed, "\(hosts) \(client) \(server) \(asService): \(report.summary)")
          port += 20
        }
      }
      for service in services {
        #expect(try service.count("encapsulated") > 50 && service.count("decapsulated") > 50)
        if hosts == [.a], way.network == .calico { #expect(try service.count("local") > 50) }
        // What begins and ends connections, and what is of none.
        #expect(try service.count("connection") > 20)
        try service.stop()
      }
    }
  }
}

extension RoutedConnectionTests {
  /// From a container of hostA to one of hostB: to its own address, or a service's.
  private func connect(
    _ lab: RoutedLab, _ inside: Inside, to address: String, _ port: UInt16, at own: UInt16 = 20001
  ) throws -> TrackedConnection {
    let (client, server) = (try lab.node("a1"), try lab.node("b1"))
    let place = try SocketAddress(inside.address(server), own)
    let listener = try server.namespace.opening { () throws -> OwnedDescriptor in
      let listener = try TrackedConnection.socket(place)
      guard place.with({ bind(listener.raw, $0, $1) }) == 0, listen(listener.raw, 1) == 0 else {
        throw Failure("listen at", inside.address(server), errno: .last)
      }
      return listener
    }
    return try client.namespace.opening {
      try TrackedConnection(to: address, port, listener: listener, from: inside.address(client))
    }
  }

  private func nft(_ lab: RoutedLab, _ commands: String) throws {
    try lab.host(.a).run { _ = try TestSupport.shell(["nft", "-f", "-"], input: commands) }
  }

  /// Bytes that arrive of 8 MiB each way.
  private func exchange(_ connection: borrowing TrackedConnection, patience: Double = 1) -> Int {
    let (client, server) = (connection.client.raw, connection.server.raw)
    return TrackedConnection.transfer(8 << 20, from: client, to: server, patience: patience)
      + TrackedConnection.transfer(8 << 20, from: server, to: client, patience: patience)
  }

  /// A connection lives on without Culvert, and is taken again by the next.
  @Test(arguments: insides) func connectionsOutliveIt(_ inside: Inside) throws {
    let lab = try RoutedLab(inside.network, rules: true)
    var service = try start(lab, .a, inside.tier)
    let connection = try connect(lab, inside, to: inside.address(lab.node("b1")), 20001)
    try connection.exchange()
    #expect(try eventually { try service.status().connections?.marked == 1 })
    for _ in 0..<2 {
      let before = try service.count("encapsulated") + service.count("decapsulated")
      #expect(exchange(connection) == 16 << 20)
      #expect(try service.count("encapsulated") + service.count("decapsulated") > before + 100)
      try service.stop()
      #expect(exchange(connection) == 16 << 20)
      service = try start(lab, .a, inside.tier)
      #expect(exchange(connection) == 16 << 20)
    }
    try service.stop()
  }

  /// Killed amid what it carries: the kernel's rules and its conntrack take the rest.
  @Test(arguments: [Tier.tc, .xdp]) func connectionsOutliveItsDeath(_ tier: Tier) throws {
    let inside = Inside(network: .flannel, tier: tier)
    let lab = try RoutedLab(inside.network, rules: true)
    // Another process finds namespaces by the processes in them.
    let holders = try ["a1", "hostA", "hostB"].map {
      try #require(pid_t(try lab.node($0).run { try RoutedDeathTests.startProcess() }))
    }
    defer { for pid in holders { kill(pid, SIGKILL) } }
    let (culvert, path) = (try DeathTests.culvert, lab.host(.a).reference)
    defer { _ = try? shell(culvert, "down", "--netns", path) }
    let up = [
      culvert, "up", "--overlay", "flannel.1", "--netns", path, "--tier", tier.rawValue, "--policy", "connections",
      "--detach", "--wait-for-traffic",
    ]
    try shell(up + (tier == .xdp ? ["--carry-bulk"] : []))
    let process = try #require(try Overlays.directories(namespace: path, all: false).first?.owner).pid
    func encapsulated() throws -> UInt64 {
      let stats = try JSONDecoder().decode([Stats].self, from: Data(shell(culvert, "stats", "--json", "--netns", path).utf8))
      return stats.flatMap(\.ports).reduce(0) { $0 + ($1.forwarded["encapsulated"]?.packets ?? 0) }
    }
    let connection = try connect(lab, inside, to: inside.address(lab.node("b1")), 20001)
    let (client, server) = (connection.client.raw, connection.server.raw)
    #expect(try eventually(5) { try encapsulated() > 0 || exchange(connection) == 0 })
    let isDead = Atomic(false)
    let lost = Atomic(0)
    let sender = try DedicatedThread {
      var after = 0
      while after < 4 {
        if isDead.load(ordering: .acquiring) { after += 1 }
        let all = 8 << 20
        let arrived = TrackedConnection.transfer(all, from: client, to: server, patience: 5)
        lost.wrappingAdd(all - arrived, ordering: .relaxed)
        if arrived < all { break }
      }
    }
    let before = try encapsulated()
    #expect(try eventually(5) { try encapsulated() > before + 100 })
    kill(process, SIGKILL)
    #expect(eventually { Owner.startTime(of: process) == nil })
    isDead.store(true, ordering: .releasing)
    sender.join()
    #expect(lost.load(ordering: .relaxed) == 0)
    #expect(exchange(connection) == 16 << 20)
  }

  /// Without rules there is nothing to judge: ping too is forwarded.
  @Test(arguments: networks) func withoutRulesAllIsForwarded(_ network: LabSpec.Network) throws {
    let lab = try RoutedLab(network)
    let service = try start(lab, .a)
    let before = try service.countWhenCarried("encapsulated") { _ = try lab.answers("a1", "b1") }
    #expect(try lab.answers("a1", "b1", count: 10) == 10)
    #expect(try service.count("encapsulated") >= before + 8 && service.count("connection") == 0)
    try service.stop()
  }

  /// What rules say by now counts for connections that were there before.
  @Test(arguments: insides) func rulesThatChangeAreObeyed(_ inside: Inside) throws {
    let lab = try RoutedLab(inside.network, rules: true)
    let service = try start(lab, .a, inside.tier)
    let forward = "\(inside.family) filter FORWARD"
    let dropped = try connect(lab, inside, to: inside.address(lab.node("b1")), 20001)
    let other = try connect(lab, inside, to: inside.address(lab.node("b1")), 20002, at: 20002)
    try dropped.exchange()
    try other.exchange()
    #expect(try eventually { try service.status().connections?.marked == 2 })
    #expect(exchange(dropped) == 16 << 20 && exchange(other) == 16 << 20)
    try nft(lab, "insert rule \(forward) tcp dport 20001 drop")
    // Judged anew within a second; from then on nothing of it arrives at the other end.
    let marks = try eventually(2) { try service.status().connections?.withdrawn == 1 }
    #expect(marks)
    let (client, server) = (dropped.client.raw, dropped.server.raw)
    #expect(TrackedConnection.transfer(1 << 20, from: client, to: server, patience: 0.5) == 0)
    // A burst that is the kernel's may have had a port given back by tier xdp, for a while.
    #expect(try eventually(12) { try service.status().ports.allSatisfy { $0.tier == inside.tier.rawValue } })
    let before = try service.count("encapsulated")
    #expect(exchange(other) == 16 << 20)
    #expect(try service.count("encapsulated") > before + 50)
    /// Whether it is, and why not the rest: the ports where that is all, else what is inside.
    func reasons() throws -> String? {
      let status = try service.status()
      return status.left?[inside.ipv6 ? "IPv6" : "IPv4"] ?? status.ports[0].reason
    }
    try nft(
      lab,
      "flush chain \(forward); add rule \(forward) limit rate over 100000/second drop; add rule \(forward) accept")
    #expect(try eventually(2) { try reasons()?.contains("limit") == true })
    // The other IP's packets know nothing of it.
    #expect(try service.status().ports.allSatisfy { $0.tier == inside.tier.rawValue })
    let then = try service.count("encapsulated")
    #expect(exchange(other) == 16 << 20)
    #expect(try service.count("encapsulated") == then)
    try nft(lab, "flush chain \(forward); add rule \(forward) accept")
    #expect(try eventually(2) { try reasons() == nil })
    try service.stop()
  }

  /// Another port than the container's own, both ways; translated sources stay with the kernel.
  /// Checksums that containers leave to be made are made on the wire, on flannel's; on Calico's by the containers. The far
  /// end looks at them.
  @Test(arguments: insides + [Inside(network: .calico, ipv6: true)], [false, true])
  func translationIsConntracks(_ inside: Inside, _ isMasqueraded: Bool) throws {
    let lab = try RoutedLab(inside.network, rules: true, offloads: inside.network == .flannel)
    for host in LabHost.allCases { try lab.shell(host.rawValue, "ethtool -K eth0 tx off") }
    let server = inside.address(try lab.node("b1"))
    let (family, service) = (inside.family, inside.service)
    let place = inside.ipv6 ? "[\(server)]:20001" : "\(server):20001"
    // Where the answers to a translated source go.
    if inside.ipv6 { try lab.shell("hostB", "ip route add 2001:2:0:2::1/128 dev \(inside.network.overlay!.device)") }
    try nft(
      lab,
      """
      table \(family) t {
        chain p { type nat hook prerouting priority -150; \(family) daddr \(service) tcp dport 80 dnat to \(place)
                  \(family) daddr \(service) udp dport 80 dnat to \(place)
        }
        chain s { type nat hook postrouting priority 50
                  \(isMasqueraded ? "\(family) daddr \(server) masquerade" : "")
        }
      }
      """)
    let fastPath = try start(lab, .a, inside.tier)
    let connection = try connect(lab, inside, to: service, 80)
    try connection.exchange()
    let isMarked = try eventually(1) { try fastPath.status().connections?.marked == 1 }
    #expect(isMarked != isMasqueraded)
    #expect(exchange(connection) == 16 << 20)
    let fast = try fastPath.count("encapsulated") + fastPath.count("decapsulated")
    #expect(isMasqueraded ? fast == 0 : fast > 100)
    for node in lab.lab.nodes { #expect(try node.run { try ChecksumErrors.here() } == 0, "\(node.name)") }

    let source = inside.address(try lab.node("a1"))
    let client = try lab.node("a1").namespace.opening { try DatagramSocket(source, 5001) }
    let answerer = try lab.node("b1").namespace.opening { try DatagramSocket(server, 20001) }
    for _ in 0..<3 {
      try client.send([1, 2, 3], to: service, 80)
      #expect(answerer.receive(3) == 3)
    }
    // One-way so far: conntrack has seen no reply.
    #expect(try fastPath.count("encapsulated") + fastPath.count("decapsulated") == fast)
    guard !isMasqueraded else { return try fastPath.stop() }
    try answerer.send([4, 5], to: source, 5001)
    #expect(client.receive(2) == 2)
    // The kernel makes a stream of it, two seconds after it began; from then on datagrams take the fast path.
    #expect(
      try eventually(4) {
        try client.send([1, 2, 3], to: service, 80)
        guard answerer.receive(3) == 3 else { return false }
        try answerer.send([4, 5], to: source, 5001)
        guard client.receive(2) == 2 else { return false }
        return try fastPath.count("encapsulated") + fastPath.count("decapsulated") > fast + 4
      })
    try fastPath.stop()
  }
}
