// SPDX-License-Identifier: Apache-2.0
import FastPath
import Glibc
import Lab
import LinuxSystem
import TestSupport
import Testing
import Traffic

/// Routed overlays by tier tc on hosts with the rules of a cluster: `--policy connections`.
@Suite(.serialized, .enabled(if: mayServeRouted, Comment(rawValue: needsTCX)))
struct RoutedConnectionTests {
  static let networks = RoutedOverlayTests.networks

  private func start(_ lab: RoutedLab, _ host: LabHost) throws -> FastPathService {
    let service = try lab.start(host) { $0.policy = .connections }
    let isServed = try eventually { try service.status().ports.allSatisfy { $0.tier == "tc" } }
    let reasons = try service.status().ports.map { "\($0.name): \($0.reason ?? "served")" }
    #expect(isServed, "\(reasons)")
    return service
  }

  /// Ping, UDP of every length about the MTU and TCP of compared bytes, to a container and to a service's address, with
  /// Culvert on both hosts and on either.
  @Test(arguments: networks, [true, false])
  func carriesWhatTheKernelCarries(_ network: LabSpec.Network, _ offloads: Bool) throws {
    let lab = try RoutedLab(network, containers: 2, rules: true, offloads: offloads)
    var port: UInt16 = 20_000
    for hosts in [[LabHost.a, .b], [.a], [.b]] {
      let services = try hosts.map { try start(lab, $0) }
      for (client, server) in [("a1", "b1"), ("b2", "a1"), ("a1", "a2")] {
        for asService in hosts.count == 2 ? [false, true] : [true] {
          let report = Gate(mtu: 1450).run(try lab.path(client, server, port: port, asService: asService))
          #expect(report.passed, "\(hosts) \(client) \(server) \(asService): \(report.summary)")
          port += 20
        }
      }
      for service in services {
        #expect(try service.count("encapsulated") > 50 && service.count("decapsulated") > 50)
        // What begins and ends connections, and what is of none.
        #expect(try service.count("connection") > 20)
        try service.stop()
      }
    }
  }
}

extension RoutedConnectionTests {
  /// From a container of hostA to one of hostB: to its own address, or a service's.
  private func connect(_ lab: RoutedLab, to address: String, _ port: UInt16, at own: UInt16 = 20001) throws
    -> TrackedConnection
  {
    let (client, server) = (try lab.node("a1"), try lab.node("b1"))
    let place = try SocketAddress("\(server.address)", own)
    let listener = try server.namespace.opening { () throws -> OwnedDescriptor in
      let listener = try TrackedConnection.socket(place)
      guard place.with({ bind(listener.raw, $0, $1) }) == 0, listen(listener.raw, 1) == 0 else {
        throw Failure("listen at", "\(server.address)", errno: .last)
      }
      return listener
    }
    return try client.namespace.opening {
      try TrackedConnection(to: address, port, listener: listener, from: "\(client.address)")
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
  @Test(arguments: networks) func connectionsOutliveIt(_ network: LabSpec.Network) throws {
    let lab = try RoutedLab(network, rules: true)
    var service = try start(lab, .a)
    let connection = try connect(lab, to: "\(lab.node("b1").address)", 20001)
    try connection.exchange()
    #expect(try eventually { try service.status().connections?.marked == 1 })
    for _ in 0..<2 {
      let before = try service.count("encapsulated") + service.count("decapsulated")
      #expect(exchange(connection) == 16 << 20)
      #expect(try service.count("encapsulated") + service.count("decapsulated") > before + 100)
      try service.stop()
      #expect(exchange(connection) == 16 << 20)
      service = try start(lab, .a)
      #expect(exchange(connection) == 16 << 20)
    }
    try service.stop()
  }

  /// Without rules there is nothing to judge: ping too is forwarded.
  @Test(arguments: networks) func withoutRulesAllIsForwarded(_ network: LabSpec.Network) throws {
    let lab = try RoutedLab(network)
    let service = try start(lab, .a)
    #expect(try lab.answers("a1", "b1", count: 10) == 10)
    #expect(try service.count("encapsulated") >= 8 && service.count("connection") == 0)
    try service.stop()
  }

  /// What rules say by now counts for connections that were there before.
  @Test(arguments: networks) func rulesThatChangeAreObeyed(_ network: LabSpec.Network) throws {
    let lab = try RoutedLab(network, rules: true)
    let service = try start(lab, .a)
    let dropped = try connect(lab, to: "\(lab.node("b1").address)", 20001)
    let other = try connect(lab, to: "\(lab.node("b1").address)", 20002, at: 20002)
    #expect(exchange(dropped) == 16 << 20 && exchange(other) == 16 << 20)
    try nft(lab, "insert rule ip filter FORWARD tcp dport 20001 drop")
    // Judged anew within a second; from then on nothing of it arrives at the other end.
    let marks = try eventually(2) { try service.status().connections?.withdrawn == 1 }
    #expect(marks)
    let (client, server) = (dropped.client.raw, dropped.server.raw)
    #expect(TrackedConnection.transfer(1 << 20, from: client, to: server, patience: 0.5) == 0)
    let before = try service.count("encapsulated")
    #expect(exchange(other) == 16 << 20)
    #expect(try service.count("encapsulated") > before + 50)
    try nft(lab, "flush chain ip filter FORWARD; add rule ip filter FORWARD limit rate over 100000/second drop; add rule ip filter FORWARD accept")
    #expect(try eventually(2) { try service.status().ports.allSatisfy { $0.tier == nil } })
    #expect(try service.status().ports[0].reason?.contains("limit") == true)
    #expect(exchange(other) == 16 << 20)
    try nft(lab, "flush chain ip filter FORWARD; add rule ip filter FORWARD accept")
    #expect(try eventually(2) { try service.status().ports.allSatisfy { $0.tier == "tc" } })
    try service.stop()
  }

  /// Another port than the container's own, both ways; translated sources stay with the kernel.
  @Test(arguments: networks, [false, true])
  func translationIsConntracks(_ network: LabSpec.Network, _ isMasqueraded: Bool) throws {
    let lab = try RoutedLab(network, rules: true)
    let server = try lab.node("b1").address
    try nft(
      lab,
      """
      table ip t {
        chain p { type nat hook prerouting priority -150; ip daddr 198.18.77.7 tcp dport 80 dnat to \(server):20001
                  ip daddr 198.18.77.7 udp dport 80 dnat to \(server):20001
        }
        chain s { type nat hook postrouting priority 50
                  \(isMasqueraded ? "ip daddr \(server) masquerade" : "")
        }
      }
      """)
    let service = try start(lab, .a)
    let connection = try connect(lab, to: "198.18.77.7", 80)
    try connection.exchange()
    let isMarked = try eventually(1) { try service.status().connections?.marked == 1 }
    #expect(isMarked != isMasqueraded)
    #expect(exchange(connection) == 16 << 20)
    let fast = try service.count("encapsulated") + service.count("decapsulated")
    #expect(isMasqueraded ? fast == 0 : fast > 100)

    let source = "\(try lab.node("a1").address)"
    let client = try lab.node("a1").namespace.opening { try DatagramSocket(source, 5001) }
    let answerer = try lab.node("b1").namespace.opening { try DatagramSocket("\(server)", 20001) }
    for _ in 0..<3 {
      try client.send([1, 2, 3], to: "198.18.77.7", 80)
      #expect(answerer.receive(3) == 3)
    }
    // One-way so far: conntrack has seen no reply.
    #expect(try service.count("encapsulated") + service.count("decapsulated") == fast)
    try service.stop()
  }
}
