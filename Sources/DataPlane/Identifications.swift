// SPDX-License-Identifier: Apache-2.0
import CBPFObjects
import Synchronization

/// Blocks (CULVERT_ID_BLOCK) of outer IPv4 identifications, dealt out to all workers of a tier: no number is in use twice until all
/// 65,536 were (RFC 6864).
public final class IdentificationBlocks: @unchecked Sendable {
  fileprivate let next: UnsafeMutablePointer<Atomic<UInt32>>

  /// - Parameter first: where the numbers begin; a multiple of the block.
  public init(first: UInt32 = .random(in: 0...0xffff) & ~UInt32(CULVERT_ID_BLOCK - 1)) {
    next = .allocate(capacity: 1)
    next.initialize(to: Atomic(first))
  }

  deinit { next.deallocate() }
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
    if number & UInt16(CULVERT_ID_BLOCK - 1) == 0 {
      let block = blocks.next.pointee.wrappingAdd(UInt32(CULVERT_ID_BLOCK), ordering: .relaxed).oldValue
      number = UInt16(truncatingIfNeeded: block)
    }
    numbers[place] = number &+ 1
    return number
  }
}
