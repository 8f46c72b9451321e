// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import DataPlane

struct RedirectionBackoffTests {
  @Test func callsThatStayDearAreLeftForAWhile() {
    var backoff = RedirectionBackoff()
    var calls = 0
    while backoff.allows && calls < 1000 {
      backoff.add(frames: 64, nanoseconds: 500_000, isWhole: true, isOwnTime: backoff.wantsOwnTime)
      calls += 1
    }
    // The first only says that a closer look is due.
    #expect(calls == 17)
  }

  @Test func callsThatFailAreLeftForAWhile() {
    var backoff = RedirectionBackoff()
    for _ in 0..<16 { backoff.add(frames: 64, nanoseconds: 3_000, isWhole: false, isOwnTime: false) }
    #expect(!backoff.allows)
  }

  /// A worker that loses its CPU now and then, or whose frames' receivers take their time.
  @Test func aDearCallNowAndThenIsNothing() {
    var backoff = RedirectionBackoff()
    for call in 0..<10_000 {
      backoff.add(
        frames: 64, nanoseconds: call % 8 == 0 ? 4_000_000 : 300_000, isWhole: true,
        isOwnTime: backoff.wantsOwnTime)
    }
    #expect(backoff.allows)
  }

  /// By the sockets a worker that others keep from its CPU would do less still.
  @Test func callsThatWaitForACPUAreNotDear() {
    var backoff = RedirectionBackoff()
    for _ in 0..<10_000 {
      let isOwnTime = backoff.wantsOwnTime
      backoff.add(
        frames: 64, nanoseconds: isOwnTime ? 30_000 : 4_000_000, isWhole: true, isOwnTime: isOwnTime)
    }
    #expect(backoff.allows)
  }
}
