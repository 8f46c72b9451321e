// SPDX-License-Identifier: Apache-2.0

/// A port that was given back to the kernel, and when it is taken again: after pauses that grow each time.
struct Backoff {
  private(set) var reason: String
  private(set) var until: UInt64
  private var pause: UInt64

  static let first: UInt64 = 10_000_000_000
  static let longest: UInt64 = 640_000_000_000
  /// Whoever was served for so long begins with the first pause again.
  static let forgottenAfter: UInt64 = 120_000_000_000

  init(_ reason: String, now: UInt64, after earlier: Backoff? = nil) {
    self.reason = reason
    pause = earlier.map { min(Self.longest, $0.pause * 2) } ?? Self.first
    until = now + pause
  }

  func isOver(now: UInt64) -> Bool { now >= until }

  /// What it waited for has changed: the next attempt is due.
  mutating func end() { until = 0 }

  var description: String { "\(reason); retried after \(pause / 1_000_000_000) s" }
}
