// SPDX-License-Identifier: Apache-2.0
import CBPFObjects
import LinuxSystem
import Synchronization

/// Blocks (CULVERT_ID_BLOCK) of outer IPv4 identifications, dealt out to all workers of a tier and to its programs: no number
/// is in use twice until all 65,536 were (RFC 6864).
public final class IdentificationBlocks: @unchecked Sendable {
  private let taken: UnsafeMutablePointer<Atomic<UInt32>>
  private let first: UInt32
  /// Where `taken` lies; nil: in memory of its own.
  private let shared: Box<Mapping>?

  /// For workers alone; the numbers begin with zero.
  public init() {
    taken = .allocate(capacity: 1)
    taken.initialize(to: Atomic(0))
    first = 0
    shared = nil
  }

  /// - Parameters:
  ///   - array: the programs' map `ids_taken`.
  ///   - seed: their `hash_seed`, which says where the numbers begin.
  public init(array: borrowing OwnedDescriptor, seed: UInt64) throws(Failure) {
    let shared = Box(try Mapping(of: array.raw, offset: 0, byteCount: MemoryLayout<UInt32>.stride))
    taken = shared.value.address.assumingMemoryBound(to: Atomic<UInt32>.self)
    first = UInt32(truncatingIfNeeded: seed) & ~UInt32(CULVERT_ID_BLOCK - 1)
    self.shared = shared
  }

  deinit { if shared == nil { taken.deallocate() } }

  @inline(__always)
  fileprivate func next() -> UInt16 {
    let block = taken.pointee.wrappingAdd(UInt32(CULVERT_ID_BLOCK), ordering: .relaxed).oldValue
    return UInt16(truncatingIfNeeded: block &+ first)
  }
}

/// The identifications of one worker's flows. A receiving kernel merges a flow's packets only where these go up by
/// one from packet to packet (inet_gro_receive(), without DF).
struct Identifications: ~Copyable {
  private let blocks: IdentificationBlocks
  /// The next number of each flow, or of those that share a place; a multiple of the block: none is left.
  private let numbers: UnsafeMutablePointer<UInt16>

  init(_ blocks: IdentificationBlocks) {
    self.blocks = blocks
    numbers = .allocate(capacity: Int(CULVERT_ID_FLOWS))
    numbers.initialize(repeating: 0, count: Int(CULVERT_ID_FLOWS))
  }

  deinit { numbers.deallocate() }

  /// For the flow's next packet.
  @inline(__always)
  func next(hash: UInt32) -> UInt16 {
    let place = Int(hash & UInt32(CULVERT_ID_FLOWS - 1))
    var number = numbers[place]
    if number & UInt16(CULVERT_ID_BLOCK - 1) == 0 { number = blocks.next() }
    numbers[place] = number &+ 1
    return number
  }
}
