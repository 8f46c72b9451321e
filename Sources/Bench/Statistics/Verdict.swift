// SPDX-License-Identifier: Apache-2.0

/// Which way a metric should go.
public enum Direction: String, Codable, Sendable {
  case higher, lower
}

/// What a comparison may conclude. "No difference" is a legal answer.
public enum Verdict: String, Codable, Sendable {
  case better, worse
  case noDifference = "no difference"

  /// No difference: too few pairs, or the interval includes 1, or the ratio lies inside what the baseline shows against itself.
  public init(_ estimate: RatioEstimate, noise: RatioEstimate?, better: Direction) {
    let isInsideNoise = noise.map { noise in
      let low = min(noise.interval.lowerBound, 1 / noise.interval.upperBound)
      let high = max(noise.interval.upperBound, 1 / noise.interval.lowerBound)
      return (min(low, 1)...max(high, 1)).contains(estimate.ratio)
    }
    if estimate.pairs < RatioEstimate.pairsForVerdict || estimate.interval.contains(1)
      || isInsideNoise == true
    {
      self = .noDifference
    } else {
      self = (estimate.ratio > 1) == (better == .higher) ? .better : .worse
    }
  }
}
