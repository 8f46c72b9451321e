// SPDX-License-Identifier: Apache-2.0
import CLinuxSystem
import LinuxSystem
import Synchronization

/// Where a ring's parts lie in the memory shared with the kernel. One side writes `producer`, the other
/// `consumer`; both only ever grow, and `index & mask` is the place.
@usableFromInline
struct RingMemory<Entry: BitwiseCopyable>: ~Copyable {
  @usableFromInline let mapping: Mapping
  @usableFromInline let producer: UnsafeMutablePointer<Atomic<UInt32>>
  @usableFromInline let consumer: UnsafeMutablePointer<Atomic<UInt32>>
  @usableFromInline let flags: UnsafeMutablePointer<Atomic<UInt32>>
  @usableFromInline let entries: UnsafeMutablePointer<Entry>
  @usableFromInline let size: UInt32

  /// `size` is a power of two, as given to the kernel.
  init(_ descriptor: Int32, _ offsets: xdp_ring_offset, page: UInt64, size: UInt32) throws(Failure) {
    let bytes = Int(offsets.desc) + Int(size) * MemoryLayout<Entry>.stride
    let mapping = try Mapping(of: descriptor, offset: Int64(page), byteCount: bytes)
    self.init(mapping, offsets, size: size)
  }

  init(_ mapping: consuming Mapping, _ offsets: xdp_ring_offset, size: UInt32) {
    let start = mapping.address
    func index(_ offset: UInt64) -> UnsafeMutablePointer<Atomic<UInt32>> {
      (start + Int(offset)).assumingMemoryBound(to: Atomic<UInt32>.self)
    }
    producer = index(offsets.producer)
    consumer = index(offsets.consumer)
    flags = index(offsets.flags)
    entries = (start + Int(offsets.desc)).bindMemory(to: Entry.self, capacity: Int(size))
    self.size = size
    self.mapping = mapping
  }
}

/// A ring that user space fills and the kernel empties: fill and transmit.
///
/// ```
///            consumer (kernel)          head (written, not yet shown)
///                 ▼                          ▼
///   ┌────────────┬──────────────────────────┬─────────────┐
///   │ free       │ the kernel's             │ free        │
///   └────────────┴──────────────────────────┴─────────────┘
/// ```
public struct ProducerRing<Entry: BitwiseCopyable>: ~Copyable {
  @usableFromInline let memory: RingMemory<Entry>
  @usableFromInline let mask: UInt32
  /// The next place to write; ahead of the shared index until `submit`.
  @usableFromInline var head: UInt32 = 0
  /// The kernel's index when last read, plus the ring's size.
  @usableFromInline var limit: UInt32

  init(_ memory: consuming RingMemory<Entry>) {
    mask = memory.size - 1
    limit = memory.size
    self.memory = memory
  }

  public var size: UInt32 { mask + 1 }

  /// Free places; the kernel's index is read again only when fewer than `wanted` are known.
  @inlinable @inline(__always)
  public mutating func free(wanted: UInt32) -> UInt32 {
    let known = limit &- head
    if known >= wanted { return known }
    limit = memory.consumer.pointee.load(ordering: .acquiring) &+ mask &+ 1
    return limit &- head
  }

  /// Writes the next place, which must be free. The kernel sees it after `submit`.
  @inlinable @inline(__always)
  public mutating func append(_ entry: Entry) {
    memory.entries[Int(head & mask)] = entry
    head &+= 1
  }

  /// Hands everything appended over to the kernel.
  @inlinable @inline(__always)
  public mutating func submit() { memory.producer.pointee.store(head, ordering: .releasing) }

  /// The kernel sleeps and must be told (XDP_USE_NEED_WAKEUP).
  @inlinable
  public var needsWakeup: Bool {
    memory.flags.pointee.load(ordering: .relaxed) & UInt32(XDP_RING_NEED_WAKEUP) != 0
  }

  /// Everything submitted was taken.
  @inlinable
  public var isDrained: Bool { memory.consumer.pointee.load(ordering: .acquiring) == head }
}

/// A ring that the kernel fills and user space empties: receive and completion.
public struct ConsumerRing<Entry: BitwiseCopyable>: ~Copyable {
  @usableFromInline let memory: RingMemory<Entry>
  @usableFromInline let mask: UInt32
  @usableFromInline var tail: UInt32 = 0
  /// The kernel's index when last read.
  @usableFromInline var limit: UInt32 = 0

  init(_ memory: consuming RingMemory<Entry>) {
    mask = memory.size - 1
    self.memory = memory
  }

  public var size: UInt32 { mask + 1 }

  /// Entries to read, at most `most`; the kernel's index is read only when none is known.
  @inlinable @inline(__always)
  public mutating func available(atMost most: UInt32) -> UInt32 {
    if limit == tail { limit = memory.producer.pointee.load(ordering: .acquiring) }
    return min(limit &- tail, most)
  }

  /// The entry `offset` places after the first unread; below what `available` said.
  @inlinable @inline(__always)
  public subscript(_ offset: UInt32) -> Entry { memory.entries[Int((tail &+ offset) & mask)] }

  /// Gives `count` places back to the kernel.
  @inlinable @inline(__always)
  public mutating func release(_ count: UInt32) {
    tail &+= count
    memory.consumer.pointee.store(tail, ordering: .releasing)
  }
}
