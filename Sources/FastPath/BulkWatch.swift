// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import Netlink

/// Notices a container that sends TCP in bulk. A program at its port makes the kernel cut its segments before they leave
/// the container; without one they cross bridge and VXLAN device whole, which is faster however fast a frame is.
struct BulkWatch {
  /// TCP segments that its namespace had sent, and frames that were forwarded for it, at one moment.
  private var segments: UInt64
  private var frames: UInt64

  /// Bytes a second that no tier holds up.
  private static let rate: UInt64 = 25_000_000
  private static let frameBytes: UInt64 = 1000

  /// nil where its namespace cannot be looked into.
  init?(_ peer: VethPeer, frames: UInt64 = 0) {
    guard let segments = try? peer.tcpSegmentsSent() else { return nil }
    (self.segments, self.frames) = (segments, frames)
  }

  /// Whether what was forwarded in these nanoseconds is fast and in large frames: only then the container is asked.
  static func isSuspect(from before: SlotCounters, to now: SlotCounters, nanoseconds: UInt64) -> Bool {
    let frames = now.forwardedFrames - min(now.forwardedFrames, before.forwardedFrames)
    let bytes = now.forwardedBytes - min(now.forwardedBytes, before.forwardedBytes)
    return bytes > frameBytes * frames && bytes > rate / 1_000_000 * (nanoseconds / 1000)
  }

  /// Why a container that sends so is better left to the kernel.
  static func reason(_ tier: Tier) -> String {
    "it sends TCP in bulk, which tier \(tier.rawValue) gets in single frames and the kernel forwards in segments of up to "
      + "64 KiB, faster (so does --tier tc; --carry-bulk carries it here)"
  }

  /// Whether most of what was forwarded since the last time was TCP that a device with segmentation offload sent.
  mutating func isBulk(_ peer: VethPeer, _ counters: SlotCounters) -> Bool {
    guard let now = BulkWatch(peer, frames: counters.forwardedFrames) else { return false }
    defer { self = now }
    let frames = now.frames - min(now.frames, self.frames)
    return (now.segments - min(now.segments, segments)) * 4 > frames * 3 && (try? peer.wantsSegmentation()) == true
  }
}

extension SlotCounters {
  fileprivate var forwardedFrames: UInt64 { Self.forwarded(of: packets) }
  fileprivate var forwardedBytes: UInt64 { Self.forwarded(of: bytes) }

  private static func forwarded(of counts: [Verdict: UInt64]) -> UInt64 {
    counts.reduce(0) { $1.key.verdictClass == .forwarded ? $0 + $1.value : $0 }
  }
}
