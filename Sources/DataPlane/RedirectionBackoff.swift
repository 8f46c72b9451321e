// SPDX-License-Identifier: Apache-2.0
import CLinuxSystem

/// Whether redirection still pays. Each call makes a page pool, which the kernel keeps until the last packet out of it
/// was read: where containers leave thousands of packets unread, calls become slower than the sockets.
struct RedirectionBackoff {
  /// Calls that are expensive weigh four times those that are not.
  private static let limit = 64
  private static let pause: UInt64 = 1_000_000_000
  /// Calls whose own time is measured after one that took long by the clock.
  private static let watched = 64
  private var weight = 0
  private var suspicion = 0
  private var until: UInt64 = 0

  var allows: Bool {
    @inline(__always) get { until == 0 || culvert_monotonic_ns() >= until }
  }

  /// The next call's CPU time is to be measured, which takes a system call more: a worker that has to give its CPU to
  /// others takes long by the clock, and by the sockets it would take longer.
  var wantsOwnTime: Bool { @inline(__always) get { suspicion > 0 } }

  /// One call that sent so many frames; `isWhole`: the kernel sent all that it was to; `isOwnTime`: of the thread,
  /// not of the clock.
  @inline(__always)
  mutating func add(frames: Int, nanoseconds: UInt64, isWhole: Bool, isOwnTime: Bool) {
    // What the receiving ends do with the frames is part of the call.
    if isWhole && nanoseconds < 100_000 &+ 4_000 &* UInt64(truncatingIfNeeded: frames) {
      if weight > 0 { weight &-= 1 }
      if suspicion > 0 { suspicion &-= 1 }
      return
    }
    suspicion = Self.watched
    if isWhole && !isOwnTime { return }
    weight &+= 4
    if weight >= Self.limit {
      weight = 0
      suspicion = 0
      until = culvert_monotonic_ns() &+ Self.pause
    }
  }
}
