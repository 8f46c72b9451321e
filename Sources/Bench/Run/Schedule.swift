// SPDX-License-Identifier: Apache-2.0

/// The order of trials that are paired in time. One pass runs the baseline twice (against itself: the A/A
/// noise floor) and every other network once, with the baseline again after every few, so that each is near
/// one; the next pass runs the same backwards, so that two passes are A B B A and a drift cancels out of the
/// pairs.
public struct Schedule: Sendable, Equatable {
  public var baseline: Network
  /// Without the baseline, those without a tier first: fewest changes of what is attached.
  public var others: [Network]
  /// Each tier is paired with the network that it is on too, and follows it.
  public var pairsTiers: Bool

  public init(baseline: Network, networks: [Network], pairsTiers: Bool = false) {
    self.baseline = baseline
    self.pairsTiers = pairsTiers
    let others = networks.filter { $0 != baseline }
    let isBaselineTiered = baseline.driver != nil
    self.others =
      others.filter { ($0.driver != nil) == isBaselineTiered }
      + others.filter { ($0.driver != nil) != isBaselineTiered }
    guard pairsTiers else { return }
    let kernels = others.filter { $0.tier == nil }
    let alone = others.filter { one in one.tier != nil && !kernels.contains(one.withoutTier) }
    self.others = kernels.flatMap { kernel in [kernel] + others.filter { $0.tier != nil && $0.withoutTier == kernel } } + alone
  }

  /// The same of other networks.
  func of(_ networks: [Network]) -> Schedule {
    Schedule(baseline: baseline, networks: networks, pairsTiers: pairsTiers)
  }

  public struct Pass: Sendable, Equatable {
    public var trials: [Network]
    /// Positions in `trials`: a network's trial, and the baseline's that it is compared with.
    public var pairs: [Pair]
    /// A tier's trial, and that of the network that it is on.
    public var tierPairs: [Pair] = []
  }

  public struct Pair: Sendable, Equatable {
    public var network: Network
    public var trial: Int
    public var baselineTrial: Int
    /// Trials from the first to the last of the pair: whatever the machine did there, both saw or neither
    /// did.
    public var span: ClosedRange<Int> { min(trial, baselineTrial)...max(trial, baselineTrial) }
  }

  /// Networks between two trials of the baseline.
  static let stretch = 4

  private var forward: [Network] {
    var trials = others.isEmpty ? [baseline, baseline] : [baseline]
    for (index, network) in others.enumerated() {
      if index % Self.stretch == 0 { trials.append(baseline) }
      trials.append(network)
    }
    return trials
  }

  /// How many trials a pass has.
  public var passLength: Int { forward.count }

  public func pass(_ index: Int) -> Pass {
    let isBackward = index % 2 == 1
    let trials = isBackward ? forward.reversed() : forward
    let baselines = trials.indices.filter { trials[$0] == baseline }
    // The two that lie side by side.
    let itself = isBackward ? (trials.count - 1, trials.count - 2) : (0, 1)
    var pairs = [Pair(network: baseline, trial: itself.0, baselineTrial: itself.1)]
    for network in others {
      let trial = trials.firstIndex(of: network)!
      let nearest = baselines.min { abs($0 - trial) < abs($1 - trial) }!
      pairs.append(Pair(network: network, trial: trial, baselineTrial: nearest))
    }
    var pass = Pass(trials: trials, pairs: pairs)
    for network in others where pairsTiers && network.tier != nil && network.withoutTier != baseline {
      guard let trial = trials.firstIndex(of: network), let kernel = trials.firstIndex(of: network.withoutTier)
      else { continue }
      pass.tierPairs.append(Pair(network: network, trial: trial, baselineTrial: kernel))
    }
    return pass
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
