// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import CBPFObjects
import LinuxSystem
import PacketHeaders
import TestSupport
import Testing

@testable import FastPath

/// What shows over several frames.
@Suite(.enabled(if: mayUseKernel, .init(rawValue: needsRoot)))
struct LifeTests {
  /// The tunnel's addresses are those of the inner frame: each run's outcome is the next one's frame,
  /// 50 bytes nearer to the buffer's start.
  @Test func noHeadroom() throws {
    try Fixture.run { fixture in
      try fixture.setTunnel(0) {
        $0.src_mac = Frames.a1.tuple
        $0.dst_mac = Frames.b1.tuple
      }
      let before = try fixture.totals()
      let four = try fixture.port.testRun(Frames.v4(), repetitions: 4)
      let five = try fixture.port.testRun(Frames.v4(), repetitions: 5)
      #expect(four.action == .redirect)
      #expect(five.action == .pass)
      #expect(five.data.count == four.data.count)
      let after = try fixture.totals()
      let headroom = Int(CULVERT_PASS_HEADROOM.rawValue)
      #expect(after.packets[1][headroom] - before.packets[1][headroom] == 1)
      let forwarded = Int(CULVERT_FORWARDED_ENCAP.rawValue)
      #expect(after.packets[1][forwarded] - before.packets[1][forwarded] == 8)
    }
  }

  @Test(arguments: [UInt64(0), 1])
  func refreshOncePerInterval(generation: UInt64) throws {
    try Fixture.run { fixture in
      try fixture.generation.update(0, generation)
      // An hour in ticks of 1.05 ms; the first hours of CLOCK_MONOTONIC count as refreshed at 0.
      let hour: UInt32 = 3_600_000
      let now = Fixture.tick
      if now > 2 * hour {
        try fixture.setFDB(Frames.a1, .local(slot: 1), every: hour, refreshed: now - 2 * hour)
      } else {
        try fixture.setFDB(Frames.a1, .local(slot: 1), every: now / 2)
      }
      #expect(try fixture.run(.port, Frames.v4()).verdict == CULVERT_PASS_REFRESH.rawValue)
      let place = try #require(fixture.fdb.view.find(Fixture.key(Frames.a1)))
      let refreshed = place.refreshed
      #expect(refreshed + 1000 > now)
      for _ in 0..<5 {
        #expect(try fixture.run(.port, Frames.v4()).verdict == CULVERT_FORWARDED_ENCAP.rawValue)
      }
      // What is passed for another reason leaves the interval alone.
      #expect(
        try fixture.run(.port, Frames.v4(to: Frames.unknown)).verdict == CULVERT_PASS_UNKNOWN_DEST.rawValue)
      #expect(place.refreshed == refreshed)
    }
  }

  /// A change and a new generation: not one frame more goes the old way.
  @Test func changesAreSeenAtOnce() throws {
    try Fixture.run { fixture in
      var generation: UInt64 = 1
      try fixture.generation.update(0, generation)
      func change(_ body: () throws -> Void) throws {
        try body()
        generation += 1
        try fixture.generation.update(0, generation)
      }
      let inner = Frames.v4(from: Frames.b1, to: Frames.a1)
      for _ in 0..<200 {
        #expect(try fixture.run(.port, Frames.v4()).verdict == CULVERT_FORWARDED_ENCAP.rawValue)
        #expect(try fixture.run(.uplink, Outer().around(inner)).verdict == CULVERT_FORWARDED_DECAP.rawValue)
        try change { try fixture.setFDB(Frames.b1, .local(slot: 2)) }
        #expect(try fixture.run(.port, Frames.v4()).verdict == CULVERT_FORWARDED_LOCAL.rawValue)
        #expect(try fixture.run(.uplink, Outer().around(inner)).verdict == CULVERT_PASS_MOVED_SOURCE.rawValue)
        try change { fixture.fdb.remove(Fixture.key(Frames.b1)) }
        #expect(try fixture.run(.port, Frames.v4()).verdict == CULVERT_PASS_UNKNOWN_DEST.rawValue)
        try change { try fixture.setFDB(Frames.b1, .remote(tunnel: 0)) }
      }
    }
  }

  /// With DF unset the identification tells fragments of different packets apart (RFC 6864).
  @Test func identificationVaries() throws {
    try Fixture.run { fixture in
      var seen = Set<UInt16>()
      for _ in 0..<100 {
        let data = try fixture.run(.port, Frames.v4()).data
        seen.insert(try #require(IPv4Header(data, at: 14)).identification)
      }
      #expect(seen.count == 100)
    }
  }

  /// The entry for one MAC in one segment says nothing about another segment's.
  @Test func segmentsAreApart() throws {
    try Fixture.run { fixture in
      try fixture.fdb.set(
        ForwardingEntry(target: .remote(tunnel: 0)).nexthop, for: Frames.unknown.forwardingKey(domain: 8))
      let frame = Frames.v4(to: Frames.unknown)
      #expect(try fixture.run(.port, frame).verdict == CULVERT_PASS_UNKNOWN_DEST.rawValue)
    }
  }
}
