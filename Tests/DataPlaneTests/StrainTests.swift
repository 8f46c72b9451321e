// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import DataPlane

struct StrainTests {
  @Test func callsThatStayDearAreLeftForAWhile() {
    var strain = Strain()
    var calls = 0
    while strain.allows && calls < 1000 {
      strain.add(frames: 64, nanoseconds: 500_000, isWhole: true, isOwnTime: strain.wantsOwnTime)
      calls += 1
    }
    // The first only says that a closer look is due.
    #expect(calls == 17)
  }

  @Test func callsThatFailAreLeftForAWhile() {
    var strain = Strain()
    for _ in 0..<16 { strain.add(frames: 64, nanoseconds: 3_000, isWhole: false, isOwnTime: false) }
    #expect(!strain.allows)
  }

  /// A worker that loses its CPU now and then, or whose frames' receivers take their time.
  @Test func aDearCallNowAndThenIsNothing() {
    var strain = Strain()
    for call in 0..<10_000 {
      strain.add(
        frames: 64, nanoseconds: call % 8 == 0 ? 4_000_000 : 300_000, isWhole: true,
        isOwnTime: strain.wantsOwnTime)
    }
    #expect(strain.allows)
  }

  /// By the sockets a worker that others keep from its CPU would do less still.
  @Test func callsThatWaitForACPUAreNotDear() {
    var strain = Strain()
    for _ in 0..<10_000 {
      let isOwnTime = strain.wantsOwnTime
      strain.add(
        frames: 64, nanoseconds: isOwnTime ? 30_000 : 4_000_000, isWhole: true, isOwnTime: isOwnTime)
    }
    #expect(strain.allows)
  }
}
