// SPDX-License-Identifier: Apache-2.0

/// SplitMix64: small, and the same numbers for the same seed everywhere.
public struct SeededGenerator: RandomNumberGenerator, Sendable {
  private var state: UInt64
  public init(seed: UInt64) { state = seed }
  public mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
    return z ^ z >> 31
  }

  /// Uniform below `bound` (Lemire), as `Int.random(in: 0..<bound, using:)` draws: written out, since a build for
  /// debugging specialises nothing and resampling draws by the million.
  mutating func next(below bound: Int) -> Int {
    let bound = UInt64(bound)
    var product = next().multipliedFullWidth(by: bound)
    if product.low < bound {
      let least = (0 &- bound) % bound
      while product.low < least { product = next().multipliedFullWidth(by: bound) }
    }
    return Int(product.high)
  }
}

public enum Statistics {
  /// Linear between the neighbours (R's type 7); `fraction` is 0 to 1. nil of nothing.
  public static func quantile(_ values: [Double], _ fraction: Double) -> Double? {
    guard !values.isEmpty else { return nil }
    return quantile(sorted: values.sorted(), fraction)
  }

  public static func median(_ values: [Double]) -> Double? { quantile(values, 0.5) }

  private static func quantile(sorted: [Double], _ fraction: Double) -> Double {
    let position = fraction * Double(sorted.count - 1)
    let below = Int(position)
    let above = min(below + 1, sorted.count - 1)
    return sorted[below] + (position - Double(below)) * (sorted[above] - sorted[below])
  }

  /// The 95 % interval of the median by the percentile bootstrap (Efron), deterministic by seed.
  /// One value has no interval but itself.
  public static func medianInterval(
    _ values: [Double], resamples: Int = 4000, seed: UInt64 = 1
  ) -> ClosedRange<Double>? {
    guard let first = values.first else { return nil }
    guard values.count > 1 else { return first...first }
    var generator = SeededGenerator(seed: seed)
    var draw = Draw(values)
    var medians = (0..<resamples).map { _ in draw.median(&generator) }
    medians.sort()
    return quantile(sorted: medians, 0.025)...quantile(sorted: medians, 0.975)
  }

  /// The same of the ratio of two samples' medians, which nothing pairs: either is resampled. nil where the
  /// denominator is not above zero.
  public static func ratioInterval(
    _ a: [Double], _ b: [Double], resamples: Int = 2000, seed: UInt64 = 1
  ) -> ClosedRange<Double>? {
    guard !a.isEmpty, !b.isEmpty else { return nil }
    var generator = SeededGenerator(seed: seed)
    var (over, under) = (Draw(a), Draw(b))
    var ratios = (0..<resamples).compactMap { _ -> Double? in
      let denominator = under.median(&generator)
      return denominator > 0 ? over.median(&generator) / denominator : nil
    }
    guard !ratios.isEmpty else { return nil }
    ratios.sort()
    return quantile(sorted: ratios, 0.025)...quantile(sorted: ratios, 0.975)
  }
}

/// Draws as many of some values as there are, each from all of them. The values' ranks are drawn and counted: no sorting.
private struct Draw {
  private let sorted: [Double]
  private var counts: [Int]

  init(_ values: [Double]) {
    sorted = values.sorted()
    counts = [Int](repeating: 0, count: values.count)
  }

  /// Of a draw.
  mutating func median(_ generator: inout SeededGenerator) -> Double {
    let count = sorted.count
    var rank = 0
    while rank < count {
      counts[rank] = 0
      rank += 1
    }
    rank = 0
    while rank < count {
      counts[generator.next(below: count)] += 1
      rank += 1
    }
    let (low, high) = ((count - 1) / 2, count / 2)
    var (seen, at) = (0, 0)
    while seen + counts[at] <= low {
      seen += counts[at]
      at += 1
    }
    let below = sorted[at]
    while seen + counts[at] <= high {
      seen += counts[at]
      at += 1
    }
    return below + 0.5 * (sorted[at] - below) * Double(high - low)
  }
}

/// A ratio of two networks' figures over trials paired in time.
public struct RatioEstimate: Sendable, Equatable {
  /// Median of the pairs' ratios.
  public var ratio: Double
  /// 95 %.
  public var interval: ClosedRange<Double>
  /// How many pairs it stands on.
  public var pairs: Int

  /// Fewer support no verdict: six pairs that all fall on one side of 1 are chance in
  /// 3 % of cases (two-sided sign test), five in 6 %.
  public static let pairsForVerdict = 6

  /// nil without a pair. A pair whose denominator is zero says nothing and is left out.
  public init?(pairs: [(a: Double, b: Double)], seed: UInt64 = 1) {
    let ratios = pairs.filter { $0.b != 0 }.map { $0.a / $0.b }
    guard let ratio = Statistics.median(ratios),
      let interval = Statistics.medianInterval(ratios, seed: seed)
    else { return nil }
    self.ratio = ratio
    self.interval = interval
    self.pairs = ratios.count
  }

  public init(ratio: Double, interval: ClosedRange<Double>, pairs: Int) {
    self.ratio = ratio
    self.interval = interval
    self.pairs = pairs
  }
}
