// SPDX-License-Identifier: Apache-2.0
import Foundation

/// How fast one network is beside another: more is faster, whatever the metric.
struct Speed {
  var ratio: Double
  var range: ClosedRange<Double>
  /// Enough pairs, and not inside the noise.
  var isTold: Bool
  /// Enough pairs.
  var isKnown: Bool

  /// A tenth more or less is called as fast.
  var isWithinMargin: Bool {
    isKnown && range.lowerBound >= PaperFinding.margin.lowerBound
      && range.upperBound <= PaperFinding.margin.upperBound
  }
  /// The ratio is told as the metric is: of a time, less is faster.
  var isOfTimes = false
  /// Of the pairs.
  var ratios: [Double]

  /// An interval beside 1 that is no wider than what the baseline shows against itself.
  private var isNoise: Bool { isKnown && !isTold && !range.contains(1) }

  var text: String {
    let (middle, low, high) =
      isOfTimes
      ? (1 / ratio, 1 / range.upperBound, 1 / range.lowerBound) : (ratio, range.lowerBound, range.upperBound)
    let word = isOfTimes ? " the time" : ""
    return
      "\(Quantity.number(middle))×\(word)\(isNoise ? " within the noise" : "") (\(Quantity.apartFromOne(low))–\(Quantity.apartFromOne(high)))"
  }

  /// Of two that were measured against the same, by resampling the pairs of either.
  func over(_ other: Speed) -> Speed? {
    guard let range = Statistics.ratioInterval(ratios, other.ratios) else { return nil }
    let isKnown = isKnown && other.isKnown
    return Speed(
      ratio: ratio / other.ratio, range: range, isTold: isKnown, isKnown: isKnown, isOfTimes: isOfTimes,
      ratios: [])
  }
}

extension Speed {
  /// The baseline against itself.
  static let one = Speed(ratio: 1, range: 1...1, isTold: true, isKnown: true, ratios: [1])

  init(_ comparison: ABReport.Comparison) {
    ratio = comparison.speedRatio
    range = comparison.speeds
    // Earlier results have no pairs: the interval's ends stand for them.
    let pairs = comparison.pairRatios ?? comparison.ci95 + [comparison.ratio]
    ratios = comparison.better == .higher ? pairs : pairs.filter { $0 > 0 }.map { 1 / $0 }
    isOfTimes = comparison.better == .lower
    isKnown = comparison.outcome != .tooFewPairs
    isTold = comparison.outcome == .better || comparison.outcome == .worse
  }
}

extension Speed {
  /// Between two sizes, on logarithmic scales: the interval's ends as the ratio itself.
  static func between(_ small: (size: Int, speed: Speed), _ large: (size: Int, speed: Speed), at size: Int)
    -> Speed
  {
    let part = log2(Double(size) / Double(small.size)) / log2(Double(large.size) / Double(small.size))
    func mix(_ a: Double, _ b: Double) -> Double {
      exp(log(max(a, 1e-9)) * (1 - part) + log(max(b, 1e-9)) * part)
    }
    let (a, b) = (small.speed, large.speed)
    return Speed(
      ratio: mix(a.ratio, b.ratio),
      range: mix(a.range.lowerBound, b.range.lowerBound)...mix(a.range.upperBound, b.range.upperBound),
      isTold: a.isKnown && b.isKnown, isKnown: a.isKnown && b.isKnown, isOfTimes: a.isOfTimes, ratios: [])
  }
}

/// What a result says of two networks' speeds in a row.
struct Speeds {
  var report: ABReport
  var baseline: String

  func speed(_ network: String, _ other: String, _ row: Row) -> Speed? {
    let all = report.comparisons.filter { $0.row == row && $0.a == network }
    if let one = all.first(where: { $0.b == other }) { return Speed(one) }
    guard other != baseline else { return nil }
    let mine = network == baseline ? .one : all.first { $0.b == baseline }.map(Speed.init)
    let others = report.comparisons.first { $0.row == row && $0.a == other && $0.b == baseline }
    guard var mine, let others else { return nil }
    mine.isOfTimes = others.better == .lower
    return mine.over(Speed(others))
  }
}
