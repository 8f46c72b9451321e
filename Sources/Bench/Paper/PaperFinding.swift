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
    /// From the smallest size, or number of containers, to the largest these gain less than the baseline.
    case scalesLess([String])
    /// Each of these loses no more to busy neighbours than the baseline, within the margin.
    case asRobust([String])
    /// Each of these is slower between hosts than on one.
    case slowerAcrossHosts([String])
    /// What it is about is not here.
    case lacks(String)
  }

  var text: String
  var claim: Claim
  var measure: Measure
  /// nil: all that were measured.
  var sizes: [Int]?
  /// nil: whichever.
  var span: Span?

  init(_ text: String, _ claim: Claim, _ measure: Measure, sizes: [Int]? = nil, span: Span? = nil) {
    self.span = span
    self.text = text
    self.claim = claim
    self.measure = measure
    self.sizes = sizes
  }

  func isAbout(_ row: Row) -> Bool {
    // The number of containers is in the metric.
    row.workload == measure.workload && (measure.together != nil || row.metric == measure.metric)
      && sizes?.contains(row.size) ?? true && span.map { $0 == row.place } ?? true
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

  private func speed(_ network: String, _ other: String, _ row: Row) -> Speed? {
    Speeds(report: report, baseline: baseline).speed(network, other, row)
  }

  /// One comparison that a finding needs.
  private struct Step {
    var what: String
    var outcome: FindingOutcome
    /// The ratio of speeds with its interval, or why there is none.
    var evidence: String
  }

  /// - Parameter rows: those of the experiment.
  func judge(_ finding: PaperFinding, rows: [Row]) -> (outcome: FindingOutcome, because: String) {
    let all = rows
    let rows = rows.filter(finding.isAbout)
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
    case .asRobust(let networks):
      let alone = all.first {
        $0.metric == finding.measure.plain.metric && $0.workload == finding.measure.workload
      }
      steps =
        alone.map { alone in rows.flatMap { row in networks.compactMap { robust($0, alone, row) } } } ?? []
    case .slowerAcrossHosts(let networks):
      steps = rows.filter { $0.place == .twoHosts }.flatMap { row in networks.compactMap { across($0, row) } }
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
    let size = rows.count > 1 ? " \(row.axisWords)" : ""
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
    let sorted = rows.sorted { $0.axis < $1.axis }
    guard let first = sorted.first, let last = sorted.last, first.axis < last.axis,
      let small = speed(network, baseline, first), let large = speed(network, baseline, last),
      let growth = large.over(small)
    else { return nil }
    let outcome: FindingOutcome =
      growth.isTold && growth.range.upperBound < 1
      ? .holds
      : growth.isTold && (growth.range.lowerBound > 1 || growth.isWithinMargin) ? .doesNotHold : .cannotBeTold
    return Step(
      what: "\(network) \(last.axisWords) beside \(first.axisWords), as a part of \(baseline)'s change,",
      outcome: outcome, evidence: growth.text)
  }

  private func robust(_ network: String, _ alone: Row, _ row: Row) -> Step? {
    guard let idle = speed(network, baseline, alone), let busy = speed(network, baseline, row),
      let kept = busy.over(idle)
    else { return nil }
    let outcome: FindingOutcome =
      kept.isKnown && kept.range.lowerBound >= PaperFinding.margin.lowerBound
      ? .holds
      : kept.isTold && kept.range.upperBound < PaperFinding.margin.lowerBound ? .doesNotHold : .cannotBeTold
    return Step(
      what: "\(network) keeps, as a part of what \(baseline) keeps,", outcome: outcome, evidence: kept.text)
  }

  /// Of two rows that were not measured in turns: their samples, each resampled.
  private func across(_ network: String, _ row: Row) -> Step? {
    var near = row
    near.span = Span.oneHost.rawValue
    func samples(_ row: Row) -> [Double] {
      report.results.first { $0.row == row && $0.network == network }?.samples ?? []
    }
    let (far, close) = (samples(row), samples(near))
    guard let range = Statistics.ratioInterval(far, close), let a = Statistics.median(far),
      let b = Statistics.median(close)
    else { return nil }
    let isKnown = min(far.count, close.count) >= RatioEstimate.pairsForVerdict
    let speed = Speed(
      ratio: b / a, range: 1 / range.upperBound...1 / range.lowerBound, isTold: isKnown, isKnown: isKnown,
      isOfTimes: true, ratios: [])
    let outcome: FindingOutcome =
      isKnown && speed.range.upperBound < 1
      ? .holds
      : isKnown && (speed.range.lowerBound > 1 || speed.isWithinMargin) ? .doesNotHold : .cannotBeTold
    return Step(what: "\(network) \(row.axisWords)", outcome: outcome, evidence: speed.text)
  }
}
