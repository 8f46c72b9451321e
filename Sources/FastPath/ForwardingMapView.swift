// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import CBPFObjects
import LinuxSystem
import Synchronization

/// Map `fdb` as any thread reads it.
struct ForwardingMapView: Sendable {
  private final class Memory: Sendable {
    let mapping: Mapping
    init(_ mapping: consuming Mapping) { self.mapping = mapping }
  }

  private let memory: Memory
  let bucketCount: UInt32
  private let seed: UInt64
  /// Of kernel memory.
  let byteCount: Int

  /// - Parameter config: with which the object was loaded.
  init(_ object: borrowing BPFObject, _ config: culvert_config) throws {
    let map: BPFMap<UInt32, culvert_fdb_bucket> = try object.map("fdb")
    precondition(config.fdb_buckets == map.maxEntries, "the programs look elsewhere")
    bucketCount = map.maxEntries
    seed = config.fdb_seed
    byteCount = try map.memory()
    memory = Memory(
      try Mapping(
        of: map.descriptor.raw, offset: 0,
        byteCount: Int(bucketCount) * MemoryLayout<culvert_fdb_bucket>.stride))
  }

  /// In which an entry may be.
  func buckets(of key: UInt64) -> (first: Int, second: Int) {
    let hash = culvert_fdb_hash(key, seed)
    func place(_ half: UInt64) -> Int { Int(culvert_fdb_place(UInt32(half), bucketCount)) }
    return (place(hash >> 32), place(hash & 0xffff_ffff))
  }

  func places(in bucket: Int) -> LazyMapSequence<Range<Int>, ForwardingPlace> {
    let start = memory.mapping.address + bucket * MemoryLayout<culvert_fdb_bucket>.stride
    return (0..<Int(CULVERT_FDB_ENTRIES)).lazy.map {
      ForwardingPlace(address: start + $0 * MemoryLayout<culvert_fdb_entry>.stride)
    }
  }

  func find(_ key: UInt64) -> ForwardingPlace? {
    let (first, second) = buckets(of: key)
    return places(in: first).first { $0.key == key } ?? places(in: second).first { $0.key == key }
  }

  /// Where an entry leads; nil where there is none.
  func nexthop(of key: UInt64) -> UInt32? {
    guard let place = find(key) else { return nil }
    let nexthop = place.nexthop
    return place.key == key ? nexthop : nil
  }
}

/// Room for one entry.
struct ForwardingPlace {
  let address: UnsafeMutableRawPointer

  var key: UInt64 { keyWord.pointee.load(ordering: .acquiring) }
  var nexthop: UInt32 { nexthopWord.pointee.load(ordering: .acquiring) }
  var refreshed: UInt32 { refreshedWord.pointee.load(ordering: .relaxed) }
  var isFree: Bool { key == 0 }

  /// Of a free one.
  func write(nexthop: UInt32, refreshed: UInt32, key: UInt64) {
    nexthopWord.pointee.store(nexthop, ordering: .relaxed)
    refreshedWord.pointee.store(refreshed, ordering: .relaxed)
    keyWord.pointee.store(key, ordering: .releasing)
  }

  /// Of one in use: as if no packet had refreshed it yet.
  func change(nexthop: UInt32, refreshed: UInt32 = 0) {
    nexthopWord.pointee.store(nexthop, ordering: .releasing)
    refreshedWord.pointee.store(refreshed, ordering: .relaxed)
  }

  /// What is written into the place later is not seen before it: an exchange alone orders that on x86 only.
  func free() {
    keyWord.pointee.store(0, ordering: .relaxed)
    atomicMemoryFence(ordering: .sequentiallyConsistent)
  }

  private var keyWord: UnsafeMutablePointer<Atomic<UInt64>> { word(\.key) }
  private var nexthopWord: UnsafeMutablePointer<Atomic<UInt32>> { word(\.nexthop) }
  private var refreshedWord: UnsafeMutablePointer<Atomic<UInt32>> { word(\.refreshed) }

  private func word<Value>(_ field: KeyPath<culvert_fdb_entry, Value>) -> UnsafeMutablePointer<Atomic<Value>>
  {
    (address + MemoryLayout<culvert_fdb_entry>.offset(of: field)!).assumingMemoryBound(to: Atomic<Value>.self)
  }
}
