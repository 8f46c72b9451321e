// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import CBPFObjects
import LinuxSystem
import PacketHeaders
import Synchronization
import TestSupport
import Testing

@testable import FastPath

@Suite(.enabled(if: mayUseKernel, .init(rawValue: needsRoot)))
struct ForwardingMapTests {
  private static func map(buckets: UInt32, capacity: UInt32, seed: UInt64 = 0x5eed) throws -> ForwardingMap {
    let embedded = culvert_bpf_xdp()
    var object = try BPFObject(name: "culvert_xdp", data: embedded.data, size: embedded.size)
    try object.resize("fdb", to: buckets)
    var config = culvert_config()
    config.fdb_buckets = buckets
    config.fdb_seed = seed
    try object.set("config", to: config)
    try object.load()
    return ForwardingMap(try ForwardingMapView(object, config), capacity: capacity)
  }

  private static func key(_ number: Int) -> UInt64 {
    MACAddress(value: 0x0200_0000_0000 + UInt64(number)).forwardingKey(domain: 1)
  }

  private static func failure(_ body: () throws -> Void) -> Failure? {
    do { try body() } catch { return error as? Failure }
    return nil
  }

  /// Whatever comes and goes, it holds what a dictionary would.
  @Test(arguments: [UInt64(1), 2, 3])
  func isATable(seed: UInt64) throws {
    let map = try Self.map(buckets: 64, capacity: 220, seed: seed)
    var model: [UInt64: UInt32] = [:]
    var random = SplitMix(state: testSeed)
    for turn in 0..<20_000 {
      let key = Self.key(Int.random(in: 0..<300, using: &random))
      if Bool.random(using: &random) || model.count > 200 {
        #expect(map.remove(key) == (model.removeValue(forKey: key) != nil))
      } else {
        let nexthop = UInt32(turn)
        try map.set(nexthop, for: key)
        model[key] = nexthop
      }
      #expect(map.count == model.count)
      if turn % 500 == 0 {
        for number in 0..<300 { #expect(map.view.nexthop(of: Self.key(number)) == model[Self.key(number)]) }
        #expect(Set(map.view.keys) == Set(model.keys) && map.view.keys.count == model.count)
      }
    }
  }

  /// As many as it was made for always fit, and no more.
  @Test(arguments: [UInt32(1), 7, 64, 4096, 100_000])
  func holdsItsCapacity(capacity: UInt32) throws {
    let map = try Self.map(buckets: ForwardingMap.buckets(for: capacity), capacity: capacity)
    for number in 0..<Int(capacity) { try map.set(UInt32(number), for: Self.key(number)) }
    for number in 0..<Int(capacity) { #expect(map.view.nexthop(of: Self.key(number)) == UInt32(number)) }
    let full = Self.failure { try map.set(0, for: Self.key(Int(capacity))) }
    #expect(full?.errno == .argListTooLong)
    #expect(full?.advice?.contains("\(capacity) entries") == true)
    // A change needs no room; and what goes makes some.
    try map.set(9, for: Self.key(0))
    #expect(map.view.nexthop(of: Self.key(0)) == 9)
    #expect(map.remove(Self.key(0)))
    try map.set(0, for: Self.key(Int(capacity)))
    #expect(map.view.nexthop(of: Self.key(0)) == nil)
  }

  /// Entries that stand in each other's way move, several in a row where they must.
  @Test func movesMakeRoom() throws {
    let map = try Self.map(buckets: 64, capacity: 256)
    var number = 0
    while Self.failure({ try map.set(UInt32(number), for: Self.key(number)) }) == nil { number += 1 }
    #expect(number >= 230, "of 256 places")
    #expect(map.count == number)
    for one in 0..<number { #expect(map.view.nexthop(of: Self.key(one)) == UInt32(one)) }
  }

  /// A reader meets an entry as it is, or none: never another's.
  @Test func readersNeverMeetAnothers() throws {
    let map = try Self.map(buckets: 4, capacity: 14)
    let view = map.view
    let isOver = Atomic(false)
    let wrong = Atomic(0)
    let seen = Atomic(0)
    let reader = try DedicatedThread {
      while !isOver.load(ordering: .relaxed) {
        for number in 0..<40 {
          guard let nexthop = view.nexthop(of: Self.key(number)) else { continue }
          seen.add(1, ordering: .relaxed)
          if nexthop != UInt32(number) { wrong.add(1, ordering: .relaxed) }
        }
      }
    }
    for turn in 0..<400_000 {
      let number = turn &* 7919 % 40
      if !map.remove(Self.key(number)) {
        _ = Self.failure { try map.set(UInt32(number), for: Self.key(number)) }
      }
    }
    isOver.store(true, ordering: .relaxed)
    reader.join()
    #expect(wrong.load(ordering: .relaxed) == 0)
    #expect(seen.load(ordering: .relaxed) > 0)
  }

  /// Programs look where user space wrote.
  @Test func programsFindEveryEntry() throws {
    try Fixture.run { fixture in
      let remotes = (0..<58).map { MACAddress(value: 0x02ab_cd00_0000 + 0x01_0307 * UInt64($0)) }
      for mac in remotes { try fixture.setFDB(mac, .remote(tunnel: 0)) }
      for mac in remotes {
        #expect(try fixture.run(.port, Frames.v4(to: mac)).verdict == CULVERT_FORWARDED_ENCAP.rawValue)
      }
      for mac in remotes {
        fixture.fdb.remove(Fixture.key(mac))
        #expect(try fixture.run(.port, Frames.v4(to: mac)).verdict == CULVERT_PASS_UNKNOWN_DEST.rawValue)
      }
    }
  }

  @Test(arguments: [
    ForwardingEntry.Target.local(slot: 0), .local(slot: 1023), .remote(tunnel: 0), .remote(tunnel: 16_383),
    .kernel(.passHost),
  ])
  func waysAreWhole(target: ForwardingEntry.Target) {
    for milliseconds in [0, 1, 2, 333, 3333, 100_000, 3_600_000] as [UInt32] {
      let nexthop = ForwardingEntry(target: target, refreshMilliseconds: milliseconds).nexthop
      switch target {
      case .local(let slot):
        #expect(culvert_nexthop_kind(nexthop) == CULVERT_FDB_LOCAL.rawValue && culvert_nexthop_target(nexthop) == slot)
      case .remote(let tunnel):
        #expect(culvert_nexthop_kind(nexthop) == CULVERT_FDB_REMOTE.rawValue && culvert_nexthop_target(nexthop) == tunnel)
      case .kernel: #expect(culvert_nexthop_kind(nexthop) == CULVERT_FDB_KERNEL.rawValue)
      }
      let ticks = culvert_nexthop_ticks(nexthop)
      let exact = Double(milliseconds) * 1e6 / Double(1 << CULVERT_TICK_SHIFT)
      #expect(Double(ticks) <= max(exact, milliseconds == 0 ? 0 : 1))
      #expect(Double(ticks) >= exact * 0.99 - 1)
      #expect((ticks == 0) == (milliseconds == 0))
    }
    // The longest that there is, rather than none.
    #expect(culvert_nexthop_ticks(ForwardingEntry(target: target, refreshMilliseconds: .max).nexthop) == 255 << 15)
  }
}
