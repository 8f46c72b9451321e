// SPDX-License-Identifier: Apache-2.0
import LinuxSystem

/// Which of the networks that were measured suits a question, best first. Nothing else is ever named.
public struct Advice: Sendable, Equatable {
  public struct Choice: Sendable, Equatable {
    public var network: String
    /// Speed against `reference` with its 95 % interval: more is faster.
    public var speed: Double
    public var range: ClosedRange<Double>
    /// The interval of its speed against the first choice includes 1.
    public var isAsGoodAsFirst: Bool
    /// The interval of its speed against the reference includes 1, or lies within the noise.
    public var isNoGain: Bool
    public var drawbacks: [String]
  }

  public var question: Question
  /// What others are compared with.
  public var reference: String
  public var choices: [Choice]
  /// Measured, and not to be chosen: network and reason.
  public var others: [(network: String, reason: String)]
  /// "tcp-rr at 256 B, offloads off, two core", and whether that is between two sizes.
  public var basis: String

  public static func == (a: Advice, b: Advice) -> Bool {
    a.question == b.question && a.reference == b.reference && a.choices == b.choices && a.basis == b.basis
      && a.others.elementsEqual(b.others, by: ==)
  }
}

/// Answers questions from a result.
public struct Adviser: Sendable {
  public var report: ABReport

  public init(_ report: ABReport) { self.report = report }

  private var baseline: String { report.settings.baselineNetwork }

  /// Rows that differ in nothing but the size.
  struct Ladder {
    /// Ascending.
    var rows: [Row]
    var networks: [String]
  }

  /// Throws where nothing that was measured answers the question, and says what would.
  public func advise(_ question: Question) throws(Failure) -> Advice {
    let ladder = try ladder(question)
    return try advise(question, ladder)
  }

  /// Of the rows that the question is about, whatever its own size.
  public func smallestSize(for question: Question) throws(Failure) -> Int {
    try ladder(question).rows[0].size
  }

  func advise(_ question: Question, _ ladder: Ladder) throws(Failure) -> Advice {
    let sizes = ladder.rows.map(\.size)
    guard let first = sizes.first, let last = sizes.last, (first...last).contains(question.size) else {
      throw Failure(
        "advise on", "\(question.size) B",
        advice:
          "\(question.measure.workload) was measured at \(Self.list(sizes)) here; beyond these nothing is known. "
          + "Measure it: culvert ab --workloads \(question.measure.workload) --sizes \(question.size) --json FILE",
        status: .usage)
    }
    let steps = neighbours(ladder, question.size)
    let reference = try reference(question, ladder)
    var others: [(network: String, reason: String)] = []
    var found: [(network: String, speed: Speed)] = []
    for network in ladder.networks {
      if let reason = reasonAgainst(network, question) {
        others.append((network, reason))
      } else if let speed = speed(network, reference, steps, question.size) {
        guard speed.isKnown else {
          others.append((network, "fewer than \(RatioEstimate.pairsForVerdict) pairs"))
          continue
        }
        found.append((network, speed))
      } else {
        others.append((network, reasonMissing(network, steps)))
      }
    }
    found.sort { ($1.speed.ratio, $0.network) < ($0.speed.ratio, $1.network) }
    let choices = found.map { one in
      // The way in which the first one's own gain is told, so that the two agree.
      let beside =
        one.network == found[0].network ? nil : speed(found[0].network, one.network, steps, question.size)
      return Advice.Choice(
        network: one.network, speed: one.speed.ratio, range: one.speed.range,
        isAsGoodAsFirst: beside.map { $0.range.contains(1) } ?? (one.network == found[0].network),
        isNoGain: one.network != reference && (!one.speed.isTold || one.speed.range.contains(1)),
        drawbacks: drawbacks(one.network, reference, steps))
    }
    return Advice(
      question: question, reference: reference, choices: choices, others: others,
      basis: basis(steps, question))
  }

  // MARK: - What was measured

  /// The rows that a question is about.
  private func ladder(_ question: Question) throws(Failure) -> Ladder {
    let ladders = ladders(question.measure, isOnOneHost: question.isOnOneHost).filter { ladder in
      let row = ladder.rows[0]
      return question.offloads.map { $0.rawValue == row.offloads } ?? true
        && question.placement.map { $0.rawValue == row.placement } ?? true
    }
    // Where several fit: the one that covers the size, then without offloads, then on two CPUs.
    let best = ladders.max { a, b in rank(a, question) < rank(b, question) }
    guard let best else {
      let place = question.isOnOneHost ? " on one host" : " between two hosts"
      throw Failure(
        "advise on", question.measure.workload + place,
        advice:
          "The file has no such row. culvert ab --workloads \(question.measure.workload) and culvert paper measure it.",
        status: .usage)
    }
    return best
  }

  private func rank(_ ladder: Ladder, _ question: Question) -> Int {
    let sizes = ladder.rows.map(\.size)
    let covers = (sizes.first!...sizes.last!).contains(question.size)
    let row = ladder.rows[0]
    return (covers ? 4 : 0) + (row.offloads == Offloads.off.rawValue ? 2 : 0)
      + (row.placement == Placement.twoCore.rawValue ? 1 : 0)
  }

  func ladders(_ measure: Measure, isOnOneHost: Bool) -> [Ladder] {
    var order: [Row] = []
    var rows: [Row: Set<Row>] = [:]
    for result in report.results where result.median != nil || result.skipped != nil || result.failed != nil {
      let row = result.row
      guard row.workload == measure.workload, row.metric == measure.metric, row.flows == nil, row.ends == nil,
        row.outerChecksum == nil
      else { continue }
      let near = row.place == .oneHost || Network(known: result.network).lab.isOfOneHost
      guard near == isOnOneHost else { continue }
      var key = row
      key.size = 0
      if rows[key] == nil { order.append(key) }
      rows[key, default: []].insert(row)
    }
    return order.map { key in
      let rows = rows[key]!.sorted { $0.size < $1.size }
      var networks: [String] = []
      for result in report.results where rows.contains(result.row) && !networks.contains(result.network) {
        let near = key.place == .oneHost || Network(known: result.network).lab.isOfOneHost
        if near == isOnOneHost { networks.append(result.network) }
      }
      return Ladder(rows: rows, networks: networks)
    }
  }

  /// One row of the size itself, or those of the sizes next to it.
  private func neighbours(_ ladder: Ladder, _ size: Int) -> [Row] {
    if let row = ladder.rows.first(where: { $0.size == size }) { return [row] }
    return [ladder.rows.last { $0.size < size }!, ladder.rows.first { $0.size > size }!]
  }

  func speed(_ network: String, _ other: String, _ rows: [Row], _ size: Int) -> Speed? {
    if network == other {
      let isThere = rows.allSatisfy { row in
        report.results.contains { $0.row == row && $0.network == network && $0.median != nil }
      }
      return isThere ? .one : nil
    }
    let speeds = Speeds(report: report, baseline: baseline)
    let found = rows.compactMap { row in either(network, other, row, speeds).map { (row.size, $0) } }
    guard found.count == rows.count else { return nil }
    return found.count == 1 ? found[0].1 : .between(found[0], found[1], at: size)
  }

  /// Whichever of the two was compared with the other.
  private func either(_ network: String, _ other: String, _ row: Row, _ speeds: Speeds) -> Speed? {
    if let speed = speeds.speed(network, other, row) { return speed }
    return other == baseline ? nil : speeds.speed(other, network, row)?.inverse
  }

  // MARK: - What speaks for and against

  private func reference(_ question: Question, _ ladder: Ladder) throws(Failure) -> String {
    if let asked = question.insteadOf {
      guard ladder.networks.contains(asked) else {
        throw Failure(
          "compare with", asked,
          advice: "It was not measured in these rows; they have \(ladder.networks.joined(separator: ", ")).",
          status: .usage)
      }
      return asked
    }
    let usual = question.isOnOneHost ? ["bridge", "vxlan"] : ["vxlan", "flannel", "calico"]
    return usual.first(where: ladder.networks.contains) ?? baseline
  }

  private func reasonAgainst(_ name: String, _ question: Question) -> String? {
    let network = Network(known: name)
    guard let isolation = network.isolation else { return "it has no containers" }
    if question.needsEncryption { return "it does not encrypt" }
    return isolation < question.isolation
      ? "its isolation is \(isolation.rawValue), not \(question.isolation.rawValue)" : nil
  }

  private func reasonMissing(_ network: String, _ rows: [Row]) -> String {
    let results = report.results.filter { $0.network == network && rows.contains($0.row) }
    return results.compactMap { $0.skipped ?? $0.failed.map { "failed: \($0)" } }.first
      ?? "not measured there"
  }

  /// Beside what always does: losses, and the rows in which it is slower than what it would replace.
  private func drawbacks(_ name: String, _ reference: String, _ rows: [Row]) -> [String] {
    var all = Network(known: name).drawbacks
    let lost =
      report.results.filter { $0.network == name && rows.contains($0.row) && $0.isLossTold }
      .compactMap(\.lostFraction).max() ?? 0
    if lost > 0.01 { all.append("it lost \(Quantity.percent(lost)) of what was sent as fast as it goes") }
    let worse = report.comparisons.filter { $0.a == name && $0.b == reference && $0.outcome == .worse }
      .sorted { $0.speedRatio < $1.speedRatio }
    if let worst = worse.first {
      let more = worse.count > 1 ? ", and in \(worse.count - 1) more rows" : ""
      all.append(
        "slower than \(reference) in \(worst.row.title) \(Quantity.size(worst.row.size)), offloads \(worst.row.offloads): "
          + "\(Quantity.number(worst.speedRatio))× the speed\(more)")
    }
    return all
  }

  private func basis(_ rows: [Row], _ question: Question) -> String {
    let row = rows[0]
    let place = question.isOnOneHost ? "on one host" : "between two hosts"
    let between =
      rows.count == 2 ? ", between those measured at \(Self.list(rows.map(\.size)))" : ""
    return "\(row.title) of \(Quantity.size(question.size)) \(place), offloads \(row.offloads), "
      + "\(row.placement.replacing("-", with: " "))\(between)"
  }

  static func list(_ sizes: [Int]) -> String { sizes.map { Quantity.size($0) }.joined(separator: ", ") }
}

extension Speed {
  /// The other way round.
  var inverse: Speed {
    Speed(
      ratio: 1 / ratio, range: 1 / range.upperBound...1 / range.lowerBound, isTold: isTold, isKnown: isKnown,
      isOfTimes: isOfTimes, ratios: ratios.filter { $0 > 0 }.map { 1 / $0 })
  }
}
