// SPDX-License-Identifier: Apache-2.0
import Glibc
import LinuxSystem
import PacketHeaders
import TestSupport
import Testing

@testable import FastPath
@testable import Netlink

@Suite(.enabled(if: mayUseKernel, Comment(rawValue: needsRoot)), .serialized)
struct ConnectionFollowerTests {
  static let behind: Set<AddressPrefix> = [
    AddressPrefix(.v4(IPv4Address("198.18.0.2")!), length: 32)!,
    AddressPrefix(.v6(IPv6Address([0x20, 1, 0, 2] + Array(repeating: 0, count: 12))!), length: 48)!,
  ]

  /// Runs `body` in a namespace that tracks connections.
  static func inNamespace(_ body: (borrowing NetworkNamespace) throws -> Void) throws {
    let namespace = try NetworkNamespace.makeAnonymous()
    try namespace.run {
      try TrackedConnection.prepareNamespace()
      try body(try NetworkNamespace.current())
    }
  }

  /// As the event loop does, until `condition` holds.
  static func drive(
    _ follower: ConnectionFollower, _ seconds: Double = 5, until condition: () throws -> Bool
  ) throws -> Bool {
    let end = Clock.monotonicNanoseconds + UInt64(seconds * 1e9)
    while try !condition() {
      let now = Clock.monotonicNanoseconds
      guard now < end else { return false }
      if follower.deadline <= now { try follower.tick(now: now) }
      var waiting = follower.descriptors.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
      let wait = follower.deadline <= now ? 0 : min(20, (follower.deadline - now) / 1_000_000)
      if poll(&waiting, nfds_t(waiting.count), Int32(wait)) > 0 { try follower.handle() }
    }
    return true
  }

  static func entry(_ port: UInt16, to destination: String, _ server: UInt16) throws -> ConntrackEntry? {
    let (source, address): (IPAddress, IPAddress) =
      destination.contains(":")
      ? (.v6(try ipv6(1)), .v6(try ipv6(2)))
      : (.v4(IPv4Address("198.18.0.1")!), .v4(IPv4Address(destination)!))
    return try ConntrackConnection().entry(
      ConntrackTuple(
        source: source, destination: address, protocolNumber: 6, sourcePort: port, destinationPort: server))
  }

  private static func ipv6(_ last: UInt8) throws -> IPv6Address {
    try #require(IPv6Address([0x20, 1, 0, 2] + Array(repeating: 0, count: 11) + [last]))
  }

  @Test func connectionsFromBeforeAndAfterAreMadeLiberal() throws {
    try Self.inNamespace { namespace in
      let before = try TrackedConnection(to: "198.18.0.2", 5_001)
      try before.exchange()
      let follower = try ConnectionFollower(in: namespace, addresses: Self.behind)
      let after = try TrackedConnection(to: "198.18.0.2", 5_002)
      let six = try TrackedConnection(to: "2001:2::2", 5_003)
      let other = try TrackedConnection(to: "198.18.0.3", 5_004)
      try after.exchange()
      try six.exchange()
      try other.exchange()
      #expect(try Self.drive(follower) { follower.counters.marked == 3 && follower.isCaughtUp })
      for (port, destination, server) in [
        (before.clientPort, "198.18.0.2", UInt16(5_001)), (after.clientPort, "198.18.0.2", 5_002),
        (six.clientPort, "2001:2::2", 5_003),
      ] {
        let entry = try #require(try Self.entry(port, to: destination, server))
        #expect(entry.isLiberal && entry.mark == ConnectionFollower.defaultMark)
      }
      let untouched = try #require(try Self.entry(other.clientPort, to: "198.18.0.3", 5_004))
      #expect(!untouched.isLiberal && untouched.mark == 0)
      #expect(follower.counters.followed == 3 && follower.counters.refused.isEmpty)
      // Nothing is left to do, and its own changes are no news.
      #expect(try Self.drive(follower, 0.3) { follower.counters.followed > 3 } == false)

      // Addresses that come to concern the overlay do so for connections that are there.
      try follower.follow(Self.behind.union([AddressPrefix(.v4(IPv4Address("198.18.0.3")!), length: 32)!]))
      #expect(try Self.drive(follower) { follower.counters.marked == 4 })
      #expect(try Self.entry(other.clientPort, to: "198.18.0.3", 5_004)?.isLiberal == true)
    }
  }

  @Test func whatIsTranslatedAtItsSourceStaysWithTheKernel() throws {
    try Self.inNamespace { namespace in
      try shell(
        ["nft", "-f", "-"],
        input: """
          table ip t {
            chain p { type nat hook postrouting priority 100; tcp dport 5001 snat to 198.18.0.3; }
            chain o { type nat hook output priority -100; ip daddr 198.18.0.9 tcp dport 80 dnat to 198.18.0.2:5002; }
          }
          """)
      try shell("ip", "route", "add", "198.18.0.9/32", "dev", "lo")
      let follower = try ConnectionFollower(in: namespace, addresses: Self.behind)
      let translated = try TrackedConnection(to: "198.18.0.2", 5_001)
      try translated.exchange()
      let listener = try TrackedConnection.socket(try SocketAddress("198.18.0.2", 5_002))
      let place = try SocketAddress("198.18.0.2", 5_002)
      #expect(place.with { bind(listener.raw, $0, $1) } == 0 && listen(listener.raw, 1) == 0)
      // A service's address: where it goes is known from conntrack, and it may pass by.
      let service = try TrackedConnection(to: "198.18.0.9", 80, listener: listener)
      try service.exchange()
      #expect(
        try Self.drive(follower) {
          follower.counters.refused[.sourceNAT] == 1 && follower.counters.marked == 1 && follower.isCaughtUp
        }, "\(follower.counters)")
      #expect(try Self.entry(translated.clientPort, to: "198.18.0.2", 5_001)?.isLiberal == false)
      let entry = try #require(try Self.entry(service.clientPort, to: "198.18.0.9", 80))
      #expect(entry.isLiberal && entry.status.contains(.destinationNAT))
      #expect(entry.reply.source == .v4(IPv4Address("198.18.0.2")!) && entry.reply.sourcePort == 5_002)
    }
  }

  @Test func whatSpeaksAgainstAConnection() throws {
    let tuple = ConntrackTuple(
      source: .v4(IPv4Address("198.18.0.1")!), destination: .v4(IPv4Address("198.18.0.2")!), protocolNumber: 6)
    func refusal(_ change: (inout ConntrackEntry) -> Void) -> ConnectionRefusal? {
      var entry = ConntrackEntry(original: tuple, reply: tuple.reversed)
      entry.status = [.confirmed, .assured, .seenReply, .destinationNAT]
      change(&entry)
      return ConnectionRefusal(against: entry)
    }
    #expect(refusal { _ in } == nil)
    #expect(refusal { $0.helper = "ftp" } == .helper)
    #expect(refusal { $0.status.insert(.helper) } == .helper)
    #expect(refusal { $0.status.insert(.sourceNAT) } == .sourceNAT)
    #expect(refusal { $0.status.insert(.sequenceAdjusted) } == .sequenceAdjusted)
    #expect(refusal { $0.zone = 1 } == .zone)
    #expect(refusal { $0.status.insert(.offloaded) } == .offloaded)
  }

  /// The kernel resets the flags of an entry whose ports are used again (not its mark): a new announcement, and it is
  /// made liberal again.
  @Test func aReopenedConnectionIsMadeLiberalAgain() throws {
    try Self.inNamespace { namespace in
      let follower = try ConnectionFollower(in: namespace, addresses: Self.behind)
      do {
        let first = try TrackedConnection(to: "198.18.0.2", 5_001, port: 40_000)
        try first.exchange()
        #expect(try Self.drive(follower) { follower.counters.marked == 1 })
        // Both ends go without a word (TCP_REPAIR).
        for socket in [first.client.raw, first.server.raw] {
          var on: Int32 = 1
          #expect(setsockopt(socket, Int32(IPPROTO_TCP), 19, &on, 4) == 0)
        }
      }
      let id = try #require(try Self.entry(40_000, to: "198.18.0.2", 5_001)).id
      let second = try TrackedConnection(to: "198.18.0.2", 5_001, port: 40_000)
      try second.exchange()
      let reset = try #require(try Self.entry(40_000, to: "198.18.0.2", 5_001))
      // The same entry, established anew. Where a kernel keeps the flags, nothing is to do.
      #expect(reset.id == id && reset.tcp?.state == .established && reset.mark == ConnectionFollower.defaultMark)
      if !reset.isLiberal { #expect(try Self.drive(follower) { follower.counters.marked == 2 }) }
      #expect(try Self.entry(40_000, to: "198.18.0.2", 5_001)?.isLiberal == true)
    }
  }

  @Test func afterAnOverrunTheTableIsReadAgain() throws {
    try Self.inNamespace { namespace in
      let follower = try ConnectionFollower(
        in: namespace, addresses: Self.behind, mark: 0, receiveBufferBytes: 4_096)
      #expect(try Self.drive(follower) { follower.isCaughtUp })
      var kept: [Box<TrackedConnection>] = []
      for place in UInt16(0)..<300 {
        kept.append(Box(try TrackedConnection(to: "198.18.0.2", 6_000 + place)))
        try kept.last!.value.exchange()
      }
      #expect(try Self.drive(follower, 10) { follower.counters.marked >= 300 }, "\(follower.counters)")
      #expect(follower.counters.overruns > 0 && follower.counters.dumps >= 2)
      let entries = try ConntrackConnection().entries().filter { $0.tcp != nil }
      #expect(entries.count == 300 && entries.allSatisfy { $0.isLiberal && $0.mark == 0 })
    }
  }

  @Test func aConnectionThatEndedMeanwhileIsGone() throws {
    try Self.inNamespace { namespace in
      let follower = try ConnectionFollower(in: namespace, addresses: Self.behind)
      #expect(try Self.drive(follower) { follower.isCaughtUp })
      let tracked = try TrackedConnection(to: "198.18.0.2", 5_001)
      try tracked.exchange()
      try ConntrackConnection().delete(
        try #require(try Self.entry(tracked.clientPort, to: "198.18.0.2", 5_001)))
      #expect(try Self.drive(follower) { follower.counters.gone == 1 })
      // Its next packets make an entry again, which is followed like any other.
      try tracked.exchange()
      try tracked.exchange()
      #expect(try Self.drive(follower) { follower.counters.marked == 1 })
      #expect(try Self.entry(tracked.clientPort, to: "198.18.0.2", 5_001)?.isLiberal == true)
    }
  }

  /// Those that rules accept no more lose the mark, and get it back; what else is in a mark stays.
  @Test func marksFollowTheRules() throws {
    try Self.inNamespace { namespace in
      let follower = try ConnectionFollower(in: namespace, addresses: Self.behind)
      let one = try TrackedConnection(to: "198.18.0.2", 5_001)
      let other = try TrackedConnection(to: "198.18.0.2", 5_002)
      try one.exchange()
      try other.exchange()
      #expect(try Self.drive(follower) { follower.counters.marked == 2 && follower.isCaughtUp })
      try shell(
        ["nft", "-f", "-"],
        input: "table ip m { chain o { type filter hook output priority 0; ct mark set ct mark or 0x10; }; }")
      try one.exchange()
      try other.exchange()
      func mark(_ tracked: borrowing TrackedConnection, _ port: UInt16) throws -> UInt32? {
        try Self.entry(tracked.clientPort, to: "198.18.0.2", port)?.mark
      }
      follower.judge { $0.original.destinationPort != 5_001 }
      #expect(!follower.isCaughtUp)
      #expect(try Self.drive(follower) { follower.isCaughtUp })
      #expect(try mark(one, 5_001) == 0x10 && mark(other, 5_002) == 0x1010)
      #expect(follower.counters.withdrawn == 1)
      #expect(try Self.entry(one.clientPort, to: "198.18.0.2", 5_001)?.isLiberal == true)
      // New ones too.
      let third = try TrackedConnection(to: "198.18.0.2", 5_003)
      follower.judge { $0.original.destinationPort != 5_003 }
      try third.exchange()
      #expect(try Self.drive(follower) { follower.isCaughtUp && follower.counters.marked == 3 }, "\(follower.counters)")
      #expect(try mark(one, 5_001) == 0x1010 && mark(other, 5_002) == 0x1010 && mark(third, 5_003) == 0x10)
      #expect(follower.counters.refused[.rules] ?? 0 >= 1)
      follower.judge(by: nil)
      #expect(try Self.drive(follower) { follower.isCaughtUp })
      #expect(try mark(third, 5_003) == 0x1010)
      #expect(follower.counters.withdrawn == 1)
    }
  }
}
