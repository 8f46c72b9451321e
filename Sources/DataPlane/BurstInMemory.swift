// SPDX-License-Identifier: Apache-2.0
import CBPFObjects

/// A burst of frames in memory, and the forwarder's steps over it one by one: for measuring what each costs.
/// A step leaves the burst as it was.
public final class BurstInMemory {
  public enum Step: String, CaseIterable, Sendable {
    /// The loop itself, and a byte of each frame.
    case touch
    case parse
    /// The program's words, and the tunnel that they name.
    case lookUp = "look-up"
    case encapsulate
    /// A checksum that was left to the device: a pass over the frame.
    case complete
    /// All that the forwarder does to a frame but move its descriptor.
    case whole
  }

  public let count: Int
  public let bytes: Int
  /// For the same steps in another language: the frames, and where each lies.
  public let memory: UnsafeMutableRawPointer
  public let offsets: [UInt32]
  /// What a sender leaves in the checksum field of every frame, as it lies in memory.
  public let unfinished: UInt16
  public let tunnels: UnsafeMutableBufferPointer<culvert_tunnel>
  public static let seed: UInt64 = 1
  private let identifications = Identifications(IdentificationBlocks())
  /// The same state for the same steps in another language, which begins alike.
  public let nextBlock = UnsafeMutablePointer<UInt32>.allocate(capacity: 1)
  public let nextNumbers = UnsafeMutablePointer<UInt16>.allocate(capacity: Int(CULVERT_ID_FLOWS))

  private static let frameBytes = 2048
  private static let headroom = 256

  /// `count` copies of an IPv4 or IPv6 frame that carries TCP or UDP, each to another of the tunnels.
  public init(_ frame: [UInt8], count: Int, tunnels: [culvert_tunnel]) {
    self.count = count
    nextBlock.initialize(to: 0)
    nextNumbers.initialize(repeating: 0, count: Int(CULVERT_ID_FLOWS))
    bytes = frame.count
    memory = .allocate(byteCount: Self.frameBytes * count, alignment: 4096)
    offsets = (0..<count).map { UInt32($0 * Self.frameBytes + Self.headroom) }
    self.tunnels = .allocate(capacity: tunnels.count)
    _ = self.tunnels.initialize(from: tunnels)
    for (index, offset) in offsets.enumerated() {
      let place = memory + Int(offset)
      frame.withUnsafeBytes { place.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
      place.put(-8, UInt32(index % tunnels.count))
      place.put(-4, CULVERT_FORWARDED_ENCAP.rawValue)
    }
    unfinished = Checksum.fold(InnerFrame(memory + Int(offsets[0]), bytes: frame.count).pseudoHeader)
  }

  deinit {
    memory.deallocate()
    tunnels.deallocate()
    nextBlock.deallocate()
    nextNumbers.deallocate()
  }

  /// Runs a step over the burst `turns` times. Returns something that depends on all it did.
  public func run(_ step: Step, turns: Int) -> UInt64 {
    let snapshot = TunnelTable.Snapshot(count: tunnels.count, tunnels: tunnels.baseAddress!)
    var seen: UInt64 = 0
    offsets.withUnsafeBufferPointer { offsets in
      for _ in 0..<turns {
        switch step {
        case .touch: seen &+= Self.touch(memory, offsets)
        case .parse: seen &+= Self.parse(memory, offsets, bytes)
        case .lookUp: seen &+= Self.lookUp(memory, offsets, bytes, snapshot)
        case .encapsulate: seen &+= Self.encapsulate(memory, offsets, bytes, snapshot, identifications)
        case .complete: seen &+= Self.complete(memory, offsets, bytes, unfinished)
        case .whole: seen &+= Self.whole(memory, offsets, bytes, snapshot, identifications)
        }
      }
    }
    return seen
  }

  private typealias Offsets = UnsafeBufferPointer<UInt32>

  @inline(never)
  private static func touch(_ memory: UnsafeMutableRawPointer, _ offsets: Offsets) -> UInt64 {
    var seen: UInt64 = 0
    for offset in offsets { seen &+= UInt64(memory.u8(Int(offset))) }
    return seen
  }

  @inline(__always)
  private static func digest(_ inner: InnerFrame) -> UInt64 {
    UInt64(inner.l4Bytes) &+ UInt64(inner.protocolNumber) &+ UInt64(inner.tos) &+ UInt64(inner.ttl)
      &+ UInt64(inner.fragment)
  }

  @inline(never)
  private static func parse(_ memory: UnsafeMutableRawPointer, _ offsets: Offsets, _ bytes: Int) -> UInt64 {
    var seen: UInt64 = 0
    for offset in offsets { seen &+= digest(InnerFrame(memory + Int(offset), bytes: bytes)) }
    return seen
  }

  @inline(never)
  private static func lookUp(
    _ memory: UnsafeMutableRawPointer, _ offsets: Offsets, _ bytes: Int, _ snapshot: TunnelTable.Snapshot
  ) -> UInt64 {
    var seen: UInt64 = 0
    for offset in offsets {
      let frame = memory + Int(offset)
      let target = Int(frame.u32(-8))
      seen &+= digest(InnerFrame(frame, bytes: bytes))
      if frame.u32(-4) == CULVERT_FORWARDED_ENCAP.rawValue, target < snapshot.count {
        seen &+= UInt64(snapshot.tunnels[target].valid)
      }
    }
    return seen
  }

  @inline(never)
  private static func encapsulate(
    _ memory: UnsafeMutableRawPointer, _ offsets: Offsets, _ bytes: Int, _ snapshot: TunnelTable.Snapshot,
    _ identifications: borrowing Identifications
  ) -> UInt64 {
    var seen: UInt64 = 0
    for offset in offsets {
      let frame = memory + Int(offset)
      let words = frame.u64(-8)
      let target = Int(frame.u32(-8))
      guard frame.u32(-4) == CULVERT_FORWARDED_ENCAP.rawValue, target < snapshot.count,
        snapshot.tunnels[target].valid != 0
      else { continue }
      let inner = InnerFrame(frame, bytes: bytes)
      OuterHeader.write(inner, snapshot.tunnels[target], seed: seed, identifications)
      seen &+= UInt64(frame.u16(Layout.outerIP + 10 - Layout.outer))
      frame.put(-8, words)
    }
    return seen
  }

  @inline(never)
  private static func complete(
    _ memory: UnsafeMutableRawPointer, _ offsets: Offsets, _ bytes: Int, _ unfinished: UInt16
  ) -> UInt64 {
    var seen: UInt64 = 0
    for offset in offsets {
      let inner = InnerFrame(memory + Int(offset), bytes: bytes)
      let field = inner.l4 &+ (inner.protocolNumber == IPProtocol.tcp ? 16 : 6)
      inner.frame.put(field, unfinished)
      inner.completeChecksum()
      seen &+= UInt64(inner.frame.u16(field))
    }
    return seen
  }

  @inline(never)
  private static func whole(
    _ memory: UnsafeMutableRawPointer, _ offsets: Offsets, _ bytes: Int, _ snapshot: TunnelTable.Snapshot,
    _ identifications: borrowing Identifications
  ) -> UInt64 {
    var seen: UInt64 = 0
    for offset in offsets {
      let frame = memory + Int(offset)
      let words = frame.u64(-8)
      if case .encapsulated = FrameMetadata.apply(frame, bytes: bytes, snapshot, seed: seed, identifications) {
        seen &+= UInt64(frame.u16(Layout.outerIP + 10 - Layout.outer))
      }
      frame.put(-8, words)
    }
    return seen
  }
}
