// SPDX-License-Identifier: Apache-2.0

/// When work that changes cause may begin again: at once after a quiet time; in a storm of changes after a pause four
/// times as long as the work took, so that it is at most a fifth of the time. No I/O.
struct Pacing {
  private(set) var notBefore: UInt64 = 0
  /// Of a pause, in nanoseconds.
  let shortest: UInt64
  let longest: UInt64
  /// Pauses that may be owed before one is made: so much work is done at once, whenever it was quiet before.
  let allowance: UInt64
  private var owed: UInt64 = 0
  private var lastEnd: UInt64 = 0

  init(shortest: UInt64 = 0, longest: UInt64 = .max, allowance: UInt64 = 0) {
    (self.shortest, self.longest, self.allowance) = (shortest, longest, allowance)
  }

  mutating func worked(from start: UInt64, to now: UInt64) {
    let quiet = start - min(start, lastEnd)
    owed = owed - min(owed, quiet) + 4 * (now - start)
    let pause = min(longest, max(shortest, owed - min(owed, allowance)))
    // Of what a pause could not make up for, nothing is owed.
    owed = min(owed, allowance + pause)
    (notBefore, lastEnd) = (now + pause, now)
  }
}
