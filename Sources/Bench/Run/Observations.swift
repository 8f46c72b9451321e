// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import Traffic

/// What was seen of one cell.
struct Observations: Sendable {
  var cell: Cell
  /// Of trials whose pairs count.
  var samples: [Network: [Sample]] = [:]
  /// Of trials whose pairs were spoilt.
  private var spoilt: [Network: [Sample]] = [:]
  var pairs: [Network: [(a: Double, b: Double)]] = [:]
  /// Of a tier and the network that it is on.
  private(set) var tierPairs: [Network: [(a: Double, b: Double)]] = [:]
  private var tierPairsAcrossChange: [Network: [(a: Double, b: Double)]] = [:]
  private var unsettledTiers: [Network: Int] = [:]
  var dropped: [Network: Int] = [:]
  /// Pairs in which the machine changed its state: they wait whether enough others come.
  private var acrossChange: [Network: [(a: Double, b: Double)]] = [:]
  /// How many of them count after all.
  private var unsettled: [Network: Int] = [:]
  var costs: [Network: (sample: Sample, busyCPUs: Double?)] = [:]

  /// For the eyes only: the ratio of the pairs that there are.
  func soFar(_ network: Network) -> String {
    Statistics.median(pairs[network, default: []].map { $0.a / $0.b }).map { ", \(Quantity.number($0))× so far" } ?? ""
  }
  var skipped: [Network: String] = [:]
  var failed: [Network: String] = [:]

  init(cell: Cell) { self.cell = cell }

  private var flows: Int? { cell.severalFlows }
  private var ends: String? { cell.oneEnd }
  private var checksum: String? { cell.checksumWord }
  private var span: String? { cell.oneSpan }

  func isOut(_ network: Network) -> Bool { skipped[network] != nil || failed[network] != nil }

  /// One pass; `flipped` are the pairs in which the machine changed its state.
  mutating func add(_ pass: Schedule.Pass, _ trials: [Sample?], flipped: [Schedule.Pair]) {
    var counted: Set<Int> = []
    for pair in pass.pairs {
      if flipped.contains(pair) {
        dropped[pair.network, default: 0] += 1
        if let a = trials[pair.trial], let b = trials[pair.baselineTrial] {
          acrossChange[pair.network, default: []].append((a: a.value, b: b.value))
        }
      } else if let a = trials[pair.trial], let b = trials[pair.baselineTrial] {
        pairs[pair.network, default: []].append((a: a.value, b: b.value))
        counted.formUnion([pair.trial, pair.baselineTrial])
      } else if trials[pair.trial] != nil {
        counted.insert(pair.trial)
      }
    }
    for pair in pass.tierPairs {
      guard let a = trials[pair.trial], let b = trials[pair.baselineTrial] else { continue }
      if flipped.contains(pair) {
        tierPairsAcrossChange[pair.network, default: []].append((a: a.value, b: b.value))
      } else {
        tierPairs[pair.network, default: []].append((a: a.value, b: b.value))
      }
    }
    for (index, network) in pass.trials.enumerated() {
      guard let sample = trials[index] else { continue }
      if counted.contains(index) {
        samples[network, default: []].append(sample)
      } else {
        spoilt[network, default: []].append(sample)
      }
    }
  }

  /// Where the machine does not settle for `wanted` pairs, all pairs count: what a change adds to them is noise
  /// in either direction, as a pass begins and ends with the baseline, and it widens the interval. And figures
  /// that compare with nothing are still better than none.
  mutating func keepWhatThereIs(wanted: Int) {
    for (network, waiting) in acrossChange where pairs[network, default: []].count < wanted {
      pairs[network, default: []] += waiting
      samples[network, default: []] += spoilt.removeValue(forKey: network) ?? []
      unsettled[network] = waiting.count
      dropped[network]! -= waiting.count
    }
    for (network, waiting) in tierPairsAcrossChange where tierPairs[network, default: []].count < wanted {
      tierPairs[network, default: []] += waiting
      unsettledTiers[network] = waiting.count
    }
    for (network, trials) in spoilt where samples[network] == nil { samples[network] = trials }
  }

  func result(of network: Network, tier: ABReport.Tier?) -> ABReport.Result {
    let seen = samples[network] ?? []
    let median = Statistics.median(seen.map(\.value))
    var result = ABReport.Result(
      network: network.description, workload: cell.measure.workload, size: cell.size,
      offloads: cell.offloads.rawValue, placement: cell.placement.rawValue, metric: cell.measure.metric,
      unit: cell.measure.unit, samples: seen.map(\.value), median: median)
    let percentiles = Set(seen.compactMap(\.latency).flatMap(\.keys))
    if !percentiles.isEmpty {
      result.latencyUs = Dictionary(
        uniqueKeysWithValues: percentiles.map { name in
          (name, Statistics.median(seen.compactMap { $0.latency?[name] }) ?? 0)
        })
    }
    result.flows = flows
    result.ends = ends
    result.outerChecksum = checksum
    result.span = span
    let segments = seen.compactMap(\.segments).reduce(0, +)
    if segments > 0 {
      result.retransmittedFraction = Double(seen.compactMap(\.retransmitted).reduce(0, +)) / Double(segments)
    }
    result.skbBytes = Statistics.median(seen.compactMap(\.skbBytes))
    result.latencyDistribution = distribution(seen.compactMap(\.histogram))
    result.transactionsPerSecond = Statistics.median(seen.compactMap(\.transactionsPerSecond))
    result.sentPerSecond = Statistics.median(seen.compactMap(\.sentPerSecond))
    let names = Set(seen.compactMap(\.parts).flatMap(\.keys))
    if !names.isEmpty {
      result.partsMs = Dictionary(
        uniqueKeysWithValues: names.map { name in
          (name, Statistics.median(seen.compactMap { $0.parts?[name] }) ?? 0)
        })
    }
    result.cpuPercent = Statistics.median(seen.compactMap(\.cpuPercent))
    let losses = seen.compactMap(\.lostFraction)
    result.lostFraction = losses.isEmpty ? nil : losses.reduce(0, +) / Double(losses.count)
    if let cost = costs[network], let median, median > 0 {
      result.cpuCheckRatio = cost.sample.value / median
      if let busy = cost.busyCPUs, cost.sample.unitsPerSecond > 0 {
        let perUnit = busy * 1e9 / cost.sample.unitsPerSecond
        if cell.measure.isTCPStream {
          result.cpuNsPerByte = perUnit
        } else {
          result.cpuNsPerPacket = perUnit
        }
      }
    }
    result.tier = tier
    result.tier?.share = seen.compactMap(\.tierShare).min()
    result.tier?.packetsPerBurst = Statistics.median(seen.compactMap(\.work?.packetsPerBurst))
    result.tier?.callsPerPacket = Statistics.median(seen.compactMap(\.work?.callsPerPacket))
    result.skipped = skipped[network]
    result.failed = failed[network]
    return result
  }

  /// The baseline against itself.
  func noise(_ baseline: Network) -> RatioEstimate? { RatioEstimate(pairs: pairs[baseline] ?? []) }

  func comparison(of network: Network, with baseline: Network) -> ABReport.Comparison? {
    comparison(
      network, baseline, pairs[network] ?? [], noise: noise(baseline), dropped: dropped[network] ?? 0,
      unsettled: unsettled[network])
  }

  /// Of a tier with the network that it is on, where that is not the baseline.
  func comparisonWithKernel(of network: Network, baseline: Network) -> ABReport.Comparison? {
    comparison(
      network, network.withoutTier, tierPairs[network] ?? [], noise: noise(baseline),
      dropped: unsettledTiers[network] == nil ? tierPairsAcrossChange[network]?.count ?? 0 : 0,
      unsettled: unsettledTiers[network])
  }

  private func comparison(
    _ a: Network, _ b: Network, _ pairs: [(a: Double, b: Double)], noise: RatioEstimate?, dropped: Int,
    unsettled: Int?
  ) -> ABReport.Comparison? {
    guard let estimate = RatioEstimate(pairs: pairs) else { return nil }
    return ABReport.Comparison(
      a: a.description, b: b.description, workload: cell.measure.workload, size: cell.size,
      offloads: cell.offloads.rawValue, placement: cell.placement.rawValue, flows: flows,
      ends: ends, outerChecksum: checksum, span: span, metric: cell.measure.metric, ratio: estimate.ratio,
      ci95: [estimate.interval.lowerBound, estimate.interval.upperBound],
      better: cell.measure.better,
      verdict: Verdict(estimate, noise: noise, better: cell.measure.better),
      pairs: pairs.count, droppedPairs: dropped, unsettledPairs: unsettled,
      pairRatios: pairs.filter { $0.b != 0 }.map { $0.a / $0.b })
  }

  func noiseFloor(of baseline: Network) -> ABReport.NoiseFloor? {
    guard let estimate = noise(baseline) else { return nil }
    return ABReport.NoiseFloor(
      network: baseline.description, workload: cell.measure.workload, size: cell.size,
      offloads: cell.offloads.rawValue, placement: cell.placement.rawValue, flows: flows,
      ends: ends, outerChecksum: checksum, span: span, metric: cell.measure.metric, ratio: estimate.ratio,
      ci95: [estimate.interval.lowerBound, estimate.interval.upperBound])
  }

  /// From the fastest to the slowest, dense where tails are told apart.
  static let percentiles =
    [0, 1, 5] + stride(from: 10.0, through: 90, by: 5) + [
      92.5, 95, 97.5, 98, 99, 99.5, 99.75, 99.9, 99.95, 99.99, 100,
    ]

  /// Of all trials together, in microseconds.
  private func distribution(_ trials: [LatencyHistogram]) -> [[Double]]? {
    guard var all = trials.first else { return nil }
    for trial in trials.dropFirst() { all.add(trial) }
    guard all.count > 0 else { return nil }
    return Self.percentiles.map { [$0, all.microseconds($0)] }
  }
}
