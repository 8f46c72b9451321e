// SPDX-License-Identifier: Apache-2.0
import Glibc
import LinuxSystem
import PacketHeaders
import TestSupport
import Testing

@testable import Netlink

@Suite(.enabled(if: mayUseKernel, Comment(rawValue: needsRoot)), .serialized)
struct ConntrackTests {
  private func tuple(_ port: UInt16, to destination: String = "198.18.0.2", _ server: UInt16 = 5_001)
    -> ConntrackTuple
  {
    ConntrackTuple(
      source: .v4(v4("198.18.0.1")), destination: .v4(v4(destination)), protocolNumber: 6, sourcePort: port,
      destinationPort: server)
  }

  private func inNamespace(_ body: () throws -> Void) throws {
    try NetworkNamespace.makeAnonymous().run {
      try TrackedConnection.prepareNamespace()
      try body()
    }
  }

  @Test func aConnectionsLifeIsAnnounced() throws {
    try inNamespace {
      var monitor = try ConntrackMonitor(.all)
      do {
        let connection = try TrackedConnection(to: "198.18.0.2", 5_001, port: 40_000)
        try connection.exchange()
      }
      try ConntrackConnection().delete(
        try #require(try ConntrackConnection().entry(tuple(40_000))))
      var events: [ConntrackEvent] = []
      #expect(try monitor.receive(into: &events) == .drained)
      guard case .new(let first) = events.first, case .destroy = events.last else {
        Issue.record("\(events)")
        return
      }
      #expect(first.original == tuple(40_000) && first.reply == tuple(40_000).reversed)
      #expect(first.tcp?.state == .synSent && first.status.contains(.confirmed))
      #expect(first.status.isDisjoint(with: [.seenReply, .assured]))
      let states = events.compactMap { if case .update(let entry) = $0 { entry.tcp?.state } else { nil } }
      #expect(states.starts(with: [.synReceived, .established]), "\(states)")
      #expect(states.contains(.finWait) || states.contains(.closeWait), "\(states)")
      let assured = events.compactMap { event -> ConntrackStatus? in
        if case .update(let entry) = event, entry.tcp?.state == .established { entry.status } else { nil }
      }
      #expect(assured.allSatisfy { $0.isSuperset(of: [.assured, .seenReply]) } && !assured.isEmpty)
    }
  }

  @Test func entriesAreListedFoundAndDeleted() throws {
    try inNamespace {
      let four = try TrackedConnection(to: "198.18.0.2", 5_001, port: 40_000)
      let six = try TrackedConnection(to: "2001:2::2", 5_002, port: 40_001)
      try four.exchange()
      try six.exchange()
      let connection = try ConntrackConnection()
      let entry = try #require(try connection.entry(tuple(40_000)))
      #expect(entry.tcp?.state == .established && entry.status.contains(.assured) && entry.id != nil)
      // By the other direction's tuple it is the same.
      #expect(try connection.entry(tuple(40_000).reversed)?.id == entry.id)
      #expect(try connection.entry(tuple(40_009)) == nil)

      #expect(try connection.entries().filter { $0.tcp != nil }.count == 2)
      var selection = ConntrackSelection()
      selection.family = UInt8(AF_INET6)
      let sixes = try connection.entries(selection)
      #expect(sixes.map(\.original.sourcePort) == [40_001])
      #expect(sixes.first?.original.source == .v6(IPv6Address([0x20, 1, 0, 2] + Array(repeating: 0, count: 11) + [1])!))
      selection = .all
      selection.protocolNumber = 17
      #expect(try connection.entries(selection).isEmpty)
      selection = .all
      selection.status = .helper
      #expect(try connection.entries(selection).isEmpty)

      var stranger = entry
      stranger.id = entry.id.map { $0 &+ 1 }
      #expect(try !connection.delete(stranger))
      #expect(try connection.delete(entry))
      #expect(try !connection.delete(entry))
      #expect(try connection.entry(tuple(40_000)) == nil)
    }
  }

  @Test func liberalBothWaysAndMarkedWithoutTouchingOtherBits() throws {
    try inNamespace {
      try shell(
        ["nft", "-f", "-"],
        input: "table inet marks { chain o { type filter hook output priority 10; ct mark set 0xc0d0; }; }")
      let tracked = try TrackedConnection(to: "198.18.0.2", 5_001, port: 40_000)
      try tracked.exchange()
      try shell("nft", "delete", "table", "inet", "marks")
      var connection = try ConntrackConnection()
      let before = try #require(try connection.entry(tuple(40_000)))
      #expect(before.mark == 0xc0d0 && !before.isLiberal)
      let outcomes = try connection.makeLiberal([tuple(40_000), tuple(40_009)], mark: 0x1000)
      guard case .changed(let entry) = outcomes.first, outcomes.last == .gone else {
        Issue.record("\(outcomes)")
        return
      }
      #expect(entry.isLiberal && entry.mark == 0xd0d0)
      // Of the flags only the one is another, and the state and status are as they were.
      #expect(entry.tcp?.flagsOriginal == before.tcp.map { $0.flagsOriginal | 8 })
      #expect(entry.tcp?.flagsReply == before.tcp.map { $0.flagsReply | 8 })
      #expect(entry.tcp?.state == .established && entry.status == before.status && entry.id == before.id)
      #expect(entry.timeout.map { $0 + 5 >= before.timeout! && $0 <= before.timeout! } == true)
      try tracked.exchange()
      #expect(try connection.entry(tuple(40_000))?.isLiberal == true)
      // Without a mark the mark stays.
      _ = try connection.makeLiberal([tuple(40_000)], mark: 0)
      #expect(try connection.entry(tuple(40_000))?.mark == 0xd0d0)
      var selection = ConntrackSelection()
      selection.unmarked = 0x1000
      #expect(try connection.entries(selection).allSatisfy { $0.original.sourcePort != 40_000 })
    }
  }

  /// Of a connection's life the kernel queues the one message that says that it is established.
  @Test func theKernelLeavesOutWhatDoesNotConcern() throws {
    try inNamespace {
      let prefix = AddressPrefix(.v4(v4("198.18.0.2")), length: 32)!
      let six = AddressPrefix(.v6(IPv6Address([0x20, 1, 0, 2] + Array(repeating: 0, count: 12))!), length: 64)!
      var monitor = try ConntrackMonitor(.update)
      var all = try ConntrackMonitor(.update)
      try monitor.attach(ConntrackFilter(addresses: [prefix, six]))
      var connection = try ConntrackConnection()
      for place in UInt16(0)..<4 {
        // The second address is behind none of the prefixes.
        let destinations = ["198.18.0.2", "198.18.0.3", "2001:2::2", "198.18.0.2"]
        let tracked = try TrackedConnection(to: destinations[Int(place)], 5_001 + place, port: 40_000 + place)
        try tracked.exchange()
        if place == 3 {
          // Its own change is announced to the others.
          _ = try connection.makeLiberal([tuple(40_003, 5_004)], mark: 0x1000)
        }
      }
      var (events, others): ([ConntrackEvent], [ConntrackEvent]) = ([], [])
      #expect(try monitor.receive(into: &events) == .drained)
      #expect(try all.receive(into: &others) == .drained)
      let entries = events.compactMap { if case .update(let entry) = $0 { entry } else { nil } }
      #expect(entries.map(\.original.sourcePort) == [40_000, 40_002, 40_003], "\(entries)")
      #expect(entries.allSatisfy { $0.tcp?.state == .established && !$0.isLiberal })
      #expect(others.count > 15)
      #expect(others.contains { if case .update(let entry) = $0 { entry.isLiberal } else { false } })
      // The user-space half says the same.
      let filter = ConntrackFilter(addresses: [prefix, six])
      let accepted = others.compactMap { if case .update(let entry) = $0, filter.accepts(entry) { entry } else { nil } }
      #expect(accepted == entries)
    }
  }

  @Test func aPrefixOfAnyLengthFilters() throws {
    try inNamespace {
      var expected: [String: Bool] = [:]
      var monitors: [(String, Box<ConntrackMonitor>)] = []
      for (text, length, isIPv6, matches) in [
        ("198.18.0.0", 15, false, true), ("198.18.0.3", 32, false, false), ("0.0.0.0", 0, false, true),
        ("198.18.0.2", 31, false, true), ("10.0.0.0", 8, false, false), ("2001:2::", 48, true, false),
      ] {
        let address: IPAddress =
          isIPv6 ? .v6(IPv6Address([0x20, 1, 0, 2] + Array(repeating: 0, count: 12))!) : .v4(v4(text))
        let monitor = try ConntrackMonitor(.update)
        try monitor.attach(ConntrackFilter(addresses: [AddressPrefix(address, length: length)!]))
        monitors.append(("\(text)/\(length)", Box(monitor)))
        expected["\(text)/\(length)"] = matches
      }
      let tracked = try TrackedConnection(to: "198.18.0.2", 5_001, from: "198.18.0.2", port: 40_000)
      try tracked.exchange()
      for (name, monitor) in monitors {
        var events: [ConntrackEvent] = []
        #expect(try monitor.value.receive(into: &events) == .drained)
        #expect(!events.isEmpty == expected[name], "\(name)")
      }
    }
  }

  @Test func anOverrunIsTold() throws {
    try inNamespace {
      var monitor = try ConntrackMonitor(.all, receiveBufferBytes: 4_096)
      for place in UInt16(0)..<20 {
        _ = try TrackedConnection(to: "198.18.0.2", 5_001 + place, port: 40_000 + place)
      }
      var events: [ConntrackEvent] = []
      #expect(try monitor.receive(into: &events) == .overrun)
      #expect(events.count < 60)
    }
  }

  /// Piece by piece the same as at once.
  @Test func aDumpComesInPieces() throws {
    try inNamespace {
      var kept: [Box<TrackedConnection>] = []
      for place in UInt16(0)..<400 {
        kept.append(Box(try TrackedConnection(to: "198.18.0.2", 5_001 + place, port: 40_000 + place)))
      }
      var dump = try ConntrackDump()
      var ports: [UInt16] = []
      for _ in 0..<2 {
        ports = []
        try dump.start(.all)
        let isRunning = dump.isRunning
        #expect(isRunning)
        while dump.isRunning { try dump.receive { ports.append($0.original.sourcePort) } }
      }
      let expected = try ConntrackConnection().entries().map(\.original.sourcePort)
      #expect(ports.sorted() == expected.sorted() && Set(ports).isSuperset(of: Set(40_000..<40_400)))
    }
  }
}
