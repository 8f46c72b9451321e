// SPDX-License-Identifier: Apache-2.0

/// A report as text: the answer first, then one line per comparison, then what qualifies it. It has 80 columns, or as many
/// more as it is given, where rows are then named in full.
public struct ABTable {
  public static let width = 80

  public var report: ABReport
  public var coloured: Bool
  public var width: Int

  public init(_ report: ABReport, coloured: Bool, width: Int = Self.width) {
    self.report = report
    self.coloured = coloured
    self.width = max(width, Self.width)
  }

  /// Of figures, ratio and interval; and of the longest verdict, in short and in full.
  private static let figures = 39
  private static let verdicts = (short: 7, full: Outcome.noDifference.rawValue.count)

  private var longestLabel: Int { report.results.map { Self.fullLabel($0.row).count }.max() ?? 0 }
  /// In full where all rows have room for it.
  private var isFull: Bool { longestLabel + 1 + Self.figures + Self.verdicts.full <= width }
  private var labelWidth: Int {
    let short = Self.width - Self.figures - Self.verdicts.short
    return isFull ? max(short, longestLabel + 1) : short
  }

  private var baseline: String { report.settings.baselineNetwork }
  private var others: [String] { report.others }

  public var text: String {
    var lines: [String] = []
    if report.environment.debugBuild {
      lines += "DEBUG BUILD: these timings say little.".painted(.red, where: coloured).wrapped(width)
    }
    for network in others { lines += headline(network).wrapped(width, indent: 2) }
    lines += machine.wrapped(width, indent: 2)
    if let note = report.rawFramesNote { lines += note.wrapped(width, indent: 2) }
    for network in others { lines += section(network) }
    lines += ABFootnotes(report: report, width: width).lines
    return lines.joined(separator: "\n") + "\n"
  }

  private func comparisons(_ network: String) -> [ABReport.Comparison] {
    report.comparisons.filter { $0.a == network }
  }

  private func headline(_ network: String) -> String {
    let all = comparisons(network)
    guard !all.isEmpty else { return "\(network) against \(baseline): nothing to compare" }
    let counts = report.outcomes(of: network).filter { $0.outcome != .tooFewPairs || $0.count > 0 }
    return "\(report.title(of: network)) against \(baseline) (\(report.baselineWords)): "
      + counts.map { "\($0.count) \($0.outcome.rawValue)" }.joined(separator: ", ")
  }

  private var machine: String {
    var text = "Linux \(report.environment.kernel), \(report.environment.cpus) CPUs"
    if let distance = report.environment.cpuDistanceNs {
      text += ", cache-line round trip between them \(Quantity.number(distance)) ns"
      if let range = report.environment.cpuDistanceRangeNs, range.count == 2 {
        text += " (\(Quantity.number(range[0]))–\(Quantity.number(range[1])))"
      }
    }
    if report.environment.virtualised { text += ", virtualised" }
    return text + ", \(report.settings.repeats) pairs of \(report.settings.durationS) s each"
  }

  // MARK: - One section per network

  private func section(_ network: String) -> [String] {
    let title =
      report.title(of: network).left(labelWidth) + baseline.right(9) + " " + "this one".right(10) + "  ratio"
      + "95 %".right(11)
      + " verdict"
    var lines = ["", title]
    for result in report.results where result.network == network {
      let label = isFull ? Self.fullLabel(result.row) : Self.label(result.row)
      if let comparison = comparisons(network).first(where: { $0.isOf(result) }) {
        lines.append(line(label, result, comparison))
        let notes = (isFull ? [] : result.row.variants) + report.qualifiers(of: result)
        lines += notes.joined(separator: "; ").wrapped(width - 2).map { "  " + $0 }
      } else {
        let reason =
          result.failed.map { _ in "FAILED, see below" } ?? result.skipped.map { "skipped: \($0)" }
          ?? "no pair: the baseline failed, the machine was never steady, or interrupted"
        lines += (label.left(labelWidth) + " " + reason).wrapped(width, indent: 4)
      }
    }
    return lines
  }

  private func line(_ label: String, _ result: ABReport.Result, _ comparison: ABReport.Comparison) -> String {
    let reference = report.results.first { $0.network == baseline && comparison.isOf($0) }?.median
    let (verdict, colour): (String, TerminalColour?) =
      switch comparison.outcome {
      case .better: ("better", .green)
      case .worse: ("worse", .red)
      case .noDifference: (isFull ? comparison.outcome.rawValue : "no diff", nil)
      case .tooFewPairs: (isFull ? comparison.outcome.rawValue : "too few", nil)
      }
    return label.left(labelWidth)
      + (reference.map { Quantity.text($0, unit: result.unit) } ?? "–").right(9) + " "
      + (result.median.map { Quantity.text($0, unit: result.unit) } ?? "–").right(10)
      + comparison.ratioText.right(7)
      + comparison.intervalText.right(11) + " "
      + verdict.painted(colour, where: coloured)
  }

  /// "packet-rate:encap 64 B, offloads off, one core".
  private static func fullLabel(_ row: Row) -> String { "\(row.title) \(row.conditions)" }

  /// "packet-rate:encap 64 B off 1-core": what a row is, at most 34 columns after cutting.
  static func label(_ row: Row) -> String {
    let flows = (row.flows ?? 1) > 1 ? " ×\(row.flows!)" : ""
    let cores = row.placement == Placement.oneCore.rawValue ? "1-core" : "2-core"
    let marks = row.marks.map { " \($0)" }.joined()
    return "\(row.title) \(Quantity.size(row.size))\(flows) \(row.offloads) \(cores)\(marks)"
  }
}
