// SPDX-License-Identifier: Apache-2.0
import LinuxSystem

/// UMEM: the memory that sockets receive into and send from, in frames of one size.
///
/// Every socket registers it for itself instead of sharing one registration (XDP_SHARED_UMEM): that
/// would give all of them one mode, and a card with zero copy and a veth without could not share frames.
/// Frames move between sockets without a copy either way.
public struct FrameMemory: ~Copyable {
  let mapping: Mapping
  /// Bytes of a frame: 2048 or 4096.
  public let frameBytes: Int
  public let frameCount: Int

  public init(frames: Int, frameBytes: Int) throws(Failure) {
    try Self.check(frames, frameBytes)
    mapping = try Mapping(anonymous: frames * frameBytes)
    self.frameBytes = frameBytes
    frameCount = frames
  }

  /// The memory of a BPF array (BPF_F_MMAPABLE), a frame an entry.
  public init(array descriptor: Int32, frames: Int, frameBytes: Int) throws(Failure) {
    try Self.check(frames, frameBytes)
    mapping = try Mapping(of: descriptor, offset: 0, byteCount: frames * frameBytes)
    self.frameBytes = frameBytes
    frameCount = frames
  }

  private static func check(_ frames: Int, _ frameBytes: Int) throws(Failure) {
    guard [2048, 4096].contains(frameBytes), frames > 0 else {
      throw Failure("make", "\(frames) frames of \(frameBytes) bytes", advice: "Frames have 2048 or 4096.")
    }
  }

  public var base: UnsafeMutableRawPointer { mapping.address }

  /// The longest frame that the kernel can receive into a frame of memory: it keeps XDP_PACKET_HEADROOM in front.
  public static func receiveBytes(of frameBytes: Int) -> Int { frameBytes - 256 }
}
