// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import DataPlane

struct StrainTests {
  @Test func callsThatStayDearAreLeftForAWhile() {
    var strain = Strain()
    var calls = 0
    while strain.allows && calls < 1000 {
      strain.add(frames: 64, nanoseconds: 500_000, isWhole: true)
      calls += 1
    }
    #expect(calls == 16)
  }

  @Test func callsThatFailAreLeftForAWhile() {
    var strain = Strain()
    for _ in 0..<16 { strain.add(frames: 64, nanoseconds: 3_000, isWhole: false) }
    #expect(!strain.allows)
  }

  /// A worker that loses its CPU now and then, or whose frames' receivers take their time.
  @Test func aDearCallNowAndThenIsNothing() {
    var strain = Strain()
    for call in 0..<10_000 {
      strain.add(frames: 64, nanoseconds: call % 8 == 0 ? 4_000_000 : 300_000, isWhole: true)
    }
    #expect(strain.allows)
  }
}
