// SPDX-License-Identifier: Apache-2.0

/// The order of trials that are paired in time. One pass runs the baseline twice (against itself: the A/A
/// noise floor) and every other network once; the next pass runs the same backwards, so that two passes are A
/// B B A and a drift cancels out of the pairs.
public struct Schedule: Sendable, Equatable {
  public var baseline: Network
  /// Without the baseline, those without a tier first: fewest changes of what is attached.
  public var others: [Network]

  public init(baseline: Network, networks: [Network]) {
    self.baseline = baseline
    let others = networks.filter { $0 != baseline }
    let isBaselineTiered = baseline.tier != nil
    self.others =
      others.filter { ($0.tier != nil) == isBaselineTiered }
      + others.filter { ($0.tier != nil) != isBaselineTiered }
  }

  public struct Pass: Sendable, Equatable {
    public var trials: [Network]
    /// Positions in `trials`: a network's trial, and the baseline's that it is compared with.
    public var pairs: [Pair]
  }

  public struct Pair: Sendable, Equatable {
    public var network: Network
    public var trial: Int
    public var baselineTrial: Int
    /// Trials from the first to the last of the pair: whatever the machine did there, both saw or neither
    /// did.
    public var span: ClosedRange<Int> { min(trial, baselineTrial)...max(trial, baselineTrial) }
  }

  public func pass(_ index: Int) -> Pass {
    let forward = [baseline, baseline] + others
    let last = forward.count - 1
    let isBackward = index % 2 == 1
    func place(_ position: Int) -> Int { isBackward ? last - position : position }
    var pairs = [Pair(network: baseline, trial: place(0), baselineTrial: place(1))]
    for (offset, network) in others.enumerated() {
      pairs.append(Pair(network: network, trial: place(offset + 2), baselineTrial: place(1)))
    }
    return Pass(trials: isBackward ? forward.reversed() : forward, pairs: pairs)
  }
}

/// Tells whether the machine changed state between trials.
public enum StateFlip {
  /// More than this between the CPUs' distances before and after is another state, not noise.
  public static let ratio = 1.6

  /// `distances` holds one value before each trial and one after the last.
  public static func happened(in span: ClosedRange<Int>, distances: [Double?]) -> Bool {
    let seen = distances[span.lowerBound...(span.upperBound + 1)].compactMap { $0 }
    guard let low = seen.min(), let high = seen.max() else { return false }
    return high > low * ratio
  }
}
