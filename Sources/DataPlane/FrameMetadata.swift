// SPDX-License-Identifier: Apache-2.0
import CBPFObjects

/// What a program decided for a frame, carried out on it in place. The program's words lie right before it
/// (struct culvert_metadata).
enum FrameMetadata {
  /// To the uplink of a slot.
  case encapsulated(slot: Int)
  /// To the port of a slot.
  case decapsulated(slot: Int)
  case local(slot: Int)
  /// What the program meant is gone, or changed meanwhile.
  case stale

  /// Reads the words and does the work. An encapsulated frame begins 50 bytes earlier afterwards, a
  /// decapsulated one 50 later.
  @inline(__always)
  static func apply(
    _ frame: UnsafeMutableRawPointer, bytes: Int, _ snapshot: TunnelTable.Snapshot, seed: UInt64,
    _ identifications: borrowing Identifications
  ) -> FrameMetadata {
    let target = Int(frame.u32(-8))
    let verdict = frame.u32(-4)
    let mayBePartial = verdict & CULVERT_METADATA_PARTIAL != 0
    switch verdict & ~CULVERT_METADATA_PARTIAL {
    case CULVERT_FORWARDED_ENCAP.rawValue:
      guard target < snapshot.count, snapshot.tunnels[target].valid != 0 else { return .stale }
      let inner = InnerFrame(frame, bytes: bytes)
      if mayBePartial { inner.completeChecksum() }
      OuterHeader.write(inner, snapshot.tunnels[target], seed: seed, identifications)
      return .encapsulated(slot: Int(snapshot.tunnels[target].uplink))
    case CULVERT_FORWARDED_DECAP.rawValue:
      let outerTOS = frame.u8(Layout.outerIP + 1)
      let inner = InnerFrame(frame + Layout.outer, bytes: bytes &- Layout.outer)
      if mayBePartial { inner.completeChecksum() }
      OuterHeader.inheritECN(inner, outerTOS: outerTOS)
      return .decapsulated(slot: target)
    case CULVERT_FORWARDED_LOCAL.rawValue:
      if mayBePartial { InnerFrame(frame, bytes: bytes).completeChecksum() }
      return .local(slot: target)
    default: return .stale
    }
  }
}
