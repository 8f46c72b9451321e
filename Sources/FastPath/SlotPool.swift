// SPDX-License-Identifier: Apache-2.0

/// Numbers of array slots, shared by all that use the array. A freed slot rests before it is given out again, so
/// that a program that still holds the old number cannot meet a new tenant.
final class SlotPool {
  private(set) var taken = 0
  private var next: UInt32
  private let capacity: UInt32
  let size: Int
  private var resting: [(slot: UInt32, since: UInt64)] = []
  private var firstResting = 0
  /// Far longer than any run of a BPF program.
  private let rest: UInt64 = 1_000_000_000

  init(range: Range<UInt32>) {
    next = range.lowerBound
    capacity = range.upperBound
    size = range.count
  }

  /// nil: all taken.
  func take(now: UInt64) -> UInt32? {
    if firstResting < resting.count, now &- resting[firstResting].since >= rest {
      defer { firstResting += 1 }
      taken += 1
      if firstResting > 1024 {
        resting.removeFirst(firstResting)
        firstResting = 0
      }
      return resting[firstResting].slot
    }
    guard next < capacity else { return nil }
    defer { next += 1 }
    taken += 1
    return next
  }

  func give(back slot: UInt32, now: UInt64) {
    taken -= 1
    resting.append((slot, now))
  }
}
