// SPDX-License-Identifier: Apache-2.0

/// A finding of the paper, as something that measurements can answer: a direction or a rank, never a value.
struct PaperFinding: Sendable {
  enum Claim: Sendable {
    /// Each of these is slower than the other in all rows.
    case slower([String], than: String)
    /// Each of these is within `PaperFinding.margin` of the other.
    case alike([String], to: String)
    /// Each of these is slower than every other kernel network.
    case worst([String])
    /// From the smallest size to the largest these gain less than the baseline.
    case scalesLess([String])
    /// What it is about is not here.
    case lacks(String)
  }

  var text: String
  var claim: Claim
  var measure: Measure
  /// nil: all that were measured.
  var sizes: [Int]?

  init(_ text: String, _ claim: Claim, _ measure: Measure, sizes: [Int]? = nil) {
    self.text = text
    self.claim = claim
    self.measure = measure
    self.sizes = sizes
  }

  /// What is called as fast: a tenth more or less.
  static let margin = 0.9...(1 / 0.9)
}

/// Whether a finding shows here, by the intervals.
public enum FindingOutcome: String, Codable, Sendable, CaseIterable {
  case holds
  case doesNotHold = "does not hold"
  case cannotBeTold = "cannot be told"
}

/// Answers findings from measurements.
struct FindingJudge {
  var report: ABReport
  var baseline: String

  /// One comparison that a finding needs.
  private struct Step {
    var what: String
    var outcome: FindingOutcome
    /// The ratio of speeds with its interval, or why there is none.
    var evidence: String
  }

  /// - Parameter rows: those of the experiment.
  func judge(_ finding: PaperFinding, rows: [Row]) -> (outcome: FindingOutcome, because: String) {
    let rows = rows.filter { row in
      row.workload == finding.measure.workload && row.metric == finding.measure.metric
        && finding.sizes?.contains(row.size) ?? true
    }
    var steps: [Step]
    switch finding.claim {
    case .lacks(let reason): return (.cannotBeTold, reason)
    case .slower(let networks, let other):
      steps = rows.flatMap { row in networks.map { slower($0, other, row, among: rows) } }
    case .alike(let networks, let other):
      steps = rows.flatMap { row in networks.map { alike($0, other, row, among: rows) } }
    case .worst(let networks):
      steps = rows.flatMap { row in
        networks.flatMap { network in
          others(than: networks, row).map { slower(network, $0, row, among: rows) }
        }
      }
    case .scalesLess(let networks): steps = networks.compactMap { scales($0, rows) }
    }
    guard !steps.isEmpty else { return (.cannotBeTold, "it was not measured") }
    let outcome: FindingOutcome =
      steps.contains { $0.outcome == .doesNotHold }
      ? .doesNotHold : steps.allSatisfy { $0.outcome == .holds } ? .holds : .cannotBeTold
    // What decided; of many alike the first few.
    let decisive = steps.filter { $0.outcome == outcome }
    let told = decisive.prefix(3).map { "\($0.what) \($0.evidence)" }.joined(separator: ", ")
    return (outcome, decisive.count > 3 ? "\(told) and \(decisive.count - 3) more" : told)
  }

  /// The kernel's networks of a row that the finding is not about, the baseline among them.
  private func others(than networks: [String], _ row: Row) -> [String] {
    // Calico with VXLAN is an overlay that the paper did not have.
    report.results.filter { result in
      result.row == row && !networks.contains(result.network) && !result.network.contains("+")
        && result.network != "calico" && result.median != nil
    }.map(\.network)
  }

  private func name(_ network: String, _ other: String, _ row: Row, among rows: [Row]) -> String {
    let size = rows.count > 1 ? " at \(Quantity.size(row.size))" : ""
    return (other == baseline ? network : "\(network) against \(other)") + size
  }

  private func slower(_ network: String, _ other: String, _ row: Row, among rows: [Row]) -> Step {
    step(network, other, row, among: rows) { speed in
      if speed.isTold && speed.range.upperBound < 1 { return .holds }
      if speed.isTold && speed.range.lowerBound > 1 { return .doesNotHold }
      return speed.isWithinMargin ? .doesNotHold : .cannotBeTold
    }
  }

  private func alike(_ network: String, _ other: String, _ row: Row, among rows: [Row]) -> Step {
    step(network, other, row, among: rows) { speed in
      if speed.isWithinMargin { return .holds }
      return speed.isTold && !speed.range.overlaps(PaperFinding.margin) ? .doesNotHold : .cannotBeTold
    }
  }

  private func step(
    _ network: String, _ other: String, _ row: Row, among rows: [Row], _ judge: (Speed) -> FindingOutcome
  ) -> Step {
    let what = name(network, other, row, among: rows)
    guard let speed = speed(network, other, row) else {
      return Step(what: what, outcome: .cannotBeTold, evidence: "was not measured")
    }
    return Step(what: what, outcome: judge(speed), evidence: speed.text)
  }

  private func scales(_ network: String, _ rows: [Row]) -> Step? {
    let sorted = rows.sorted { $0.size < $1.size }
    guard let first = sorted.first, let last = sorted.last, first.size < last.size,
      let small = speed(network, baseline, first), let large = speed(network, baseline, last),
      let growth = large.over(small)
    else { return nil }
    let outcome: FindingOutcome =
      growth.isTold && growth.range.upperBound < 1
      ? .holds
      : growth.isTold && (growth.range.lowerBound > 1 || growth.isWithinMargin) ? .doesNotHold : .cannotBeTold
    return Step(
      what: "\(network) from \(Quantity.size(first.size)) to \(Quantity.size(last.size)), beside \(baseline)'s growth,",
      outcome: outcome, evidence: growth.text)
  }

  /// How fast one network is beside another: more is faster, whatever the metric.
  struct Speed {
    var ratio: Double
    var range: ClosedRange<Double>
    /// Enough pairs, and not inside the noise.
    var isTold: Bool
    /// Enough pairs.
    var isKnown: Bool

    var isWithinMargin: Bool {
      isKnown && range.lowerBound >= PaperFinding.margin.lowerBound
        && range.upperBound <= PaperFinding.margin.upperBound
    }
    var text: String {
      "\(Quantity.number(ratio))× (\(Quantity.apartFromOne(range.lowerBound))–\(Quantity.apartFromOne(range.upperBound)))"
    }

    /// Of the pairs.
    var ratios: [Double]

    /// Of two that were measured against the same, by resampling the pairs of either.
    func over(_ other: Speed) -> Speed? {
      guard let range = Statistics.ratioInterval(ratios, other.ratios) else { return nil }
      let isKnown = isKnown && other.isKnown
      return Speed(ratio: ratio / other.ratio, range: range, isTold: isKnown, isKnown: isKnown, ratios: [])
    }
  }

  func speed(_ network: String, _ other: String, _ row: Row) -> Speed? {
    let all = report.comparisons.filter { $0.row == row && $0.a == network }
    if let one = all.first(where: { $0.b == other }) { return Speed(one) }
    guard other != baseline else { return nil }
    let mine = network == baseline ? .one : all.first { $0.b == baseline }.map(Speed.init)
    let others = report.comparisons.first { $0.row == row && $0.a == other && $0.b == baseline }
    guard let mine, let others else { return nil }
    return mine.over(Speed(others))
  }
}

extension FindingJudge.Speed {
  /// The baseline against itself.
  static let one = FindingJudge.Speed(ratio: 1, range: 1...1, isTold: true, isKnown: true, ratios: [1])

  init(_ comparison: ABReport.Comparison) {
    ratio = comparison.speedRatio
    range = comparison.speeds
    // Earlier results have no pairs: the interval's ends stand for them.
    let pairs = comparison.pairRatios ?? comparison.ci95 + [comparison.ratio]
    ratios = comparison.better == .higher ? pairs : pairs.filter { $0 > 0 }.map { 1 / $0 }
    isKnown = comparison.outcome != .tooFewPairs
    isTold = comparison.outcome == .better || comparison.outcome == .worse
  }
}
