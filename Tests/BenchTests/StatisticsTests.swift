// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Bench

struct StatisticsTests {
  @Test func quantilesAreRType7() {
    let values = [4.0, 1, 3, 2]
    #expect(Statistics.quantile(values, 0) == 1)
    #expect(Statistics.quantile(values, 0.25) == 1.75)
    #expect(Statistics.median(values) == 2.5)
    #expect(Statistics.quantile(values, 1) == 4)
    #expect(Statistics.median([]) == nil)
    #expect(Statistics.median([7]) == 7)
  }

  @Test func generatorGivesSplitMix64sNumbers() {
    // The reference implementation's first outputs for seed 1234567.
    var generator = SeededGenerator(seed: 1_234_567)
    #expect(generator.next() == 6_457_827_717_110_365_317)
    #expect(generator.next() == 3_203_168_211_198_807_973)
    #expect(generator.next() == 9_817_491_932_198_370_423)
  }

  @Test func intervalIsDeterministicBySeed() {
    let values = (0..<15).map { Double($0 * $0 % 17) }
    #expect(Statistics.medianInterval(values, seed: 3) == Statistics.medianInterval(values, seed: 3))
    #expect(Statistics.medianInterval([5]) == 5...5)
    #expect(Statistics.medianInterval([]) == nil)
  }

  @Test func intervalCoversTheMedianAboutAsOftenAsItSays() throws {
    // 300 experiments of 15 values from a uniform distribution around 10.
    var generator = SeededGenerator(seed: 42)
    var covered = 0
    for _ in 0..<300 {
      let values = (0..<15).map { _ in Double.random(in: 9...11, using: &generator) }
      let interval = try #require(Statistics.medianInterval(values, resamples: 400, seed: generator.next()))
      if interval.contains(10) { covered += 1 }
    }
    #expect((264...298).contains(covered), "95 % of 300, give or take")
  }

  @Test func ratiosArePairwise() throws {
    // Drift moves both of a pair: the ratio stays.
    let estimate = try #require(RatioEstimate(pairs: [(2, 1), (4, 2), (20, 10), (2, 0)]))
    #expect(estimate.ratio == 2)
    #expect(estimate.interval == 2...2)
    #expect(RatioEstimate(pairs: []) == nil)
  }
}

struct VerdictTests {
  @Test(arguments: [
    (1.5, 1.4...1.6, Direction.higher, Verdict.better),
    (1.5, 1.4...1.6, .lower, .worse),
    (0.6, 0.5...0.7, .lower, .better),
    (0.6, 0.5...0.7, .higher, .worse),
    (1.2, 0.9...1.6, .higher, .noDifference),
  ])
  func followsTheInterval(ratio: Double, interval: ClosedRange<Double>, better: Direction, verdict: Verdict) {
    #expect(
      Verdict(RatioEstimate(ratio: ratio, interval: interval, pairs: 8), noise: nil, better: better)
        == verdict)
  }

  @Test func insideTheNoiseFloorIsNoDifference() {
    let estimate = RatioEstimate(ratio: 1.05, interval: 1.02...1.08, pairs: 8)
    let noise = RatioEstimate(ratio: 0.97, interval: 0.93...1.01, pairs: 8)
    #expect(Verdict(estimate, noise: nil, better: .higher) == .better)
    // 1/0.93 is 1.075: a baseline that is 7 % off against itself cannot show 5 %.
    #expect(Verdict(estimate, noise: noise, better: .higher) == .noDifference)
  }

  @Test func fewerThanSixPairsSupportNoVerdict() {
    for pairs in 1..<6 {
      let estimate = RatioEstimate(ratio: 3, interval: 2.9...3.1, pairs: pairs)
      #expect(Verdict(estimate, noise: nil, better: .higher) == .noDifference)
    }
    #expect(
      Verdict(RatioEstimate(ratio: 3, interval: 2.9...3.1, pairs: 6), noise: nil, better: .higher) == .better)
  }
}

struct DeviceCountTests {
  static let text = """
    Inter-|   Receive                                                |  Transmit
     face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
       lo:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0          0
      vx0: 900000      30    0    0    0     0          0         0     5000      70    0    0    0     0       0          0
     vx01:1 2    0    0    0     0          0         0     5000      70    0    0    0     0       0          0
    """

  @Test func meanBytesOfWhatCameSince() throws {
    let count = try #require(DeviceCount("vx0", in: Self.text))
    #expect(count == DeviceCount("vx0", in: Self.text.replacing("vx01:", with: "vx1:")))
    #expect((count.packets, count.bytes) == (30, 900_000))
    #expect(DeviceCount("vx01", in: Self.text)?.packets == 2)
    #expect(DeviceCount("eth0", in: Self.text) == nil)
    let later = try #require(
      DeviceCount("vx0", in: Self.text.replacing("900000      30", with: "945000      31")))
    #expect(later.bytesEach(since: count) == 45_000)
    #expect(count.bytesEach(since: count) == nil)
  }
}
