// SPDX-License-Identifier: Apache-2.0

/// A report as GitHub-flavoured Markdown, for pull requests.
public struct ABMarkdown {
  public var report: ABReport

  public init(_ report: ABReport) { self.report = report }

  private var baseline: String { report.settings.baselineNetwork }

  public var text: String {
    var lines = ["### Against `\(baseline)` (\(report.baselineWords))", ""]
    lines.append(
      "\(Self.cell(report.environment.cpu)), \(report.environment.cpus) CPUs, Linux \(Self.cell(report.environment.kernel)); "
        + "\(report.settings.repeats) pairs of \(Quantity.number(report.settings.durationS)) s, interleaved; culvert "
        + Self.cell(report.environment.culvert))
    if let note = report.rawFramesNote { lines += ["", note] }
    if report.environment.debugBuild { lines += ["", "**Debug build: these timings say little.**"] }
    for network in report.others { lines += headline(network) + section(network) }
    lines += ABFootnotes(report: report).markdown
    return lines.joined(separator: "\n") + "\n"
  }

  /// "2 better, 1 worse, 5 no difference"
  private func headline(_ network: String) -> [String] {
    let counts = report.outcomes(of: network).filter { $0.outcome != .tooFewPairs || $0.count > 0 }
    return [
      "",
      "`\(report.title(of: network))`: "
        + counts.map { "\($0.count) \($0.outcome.rawValue)" }.joined(separator: ", "),
    ]
  }

  private func section(_ network: String) -> [String] {
    var lines = [
      "",
      "| `\(report.title(of: network))` | `\(baseline)` | this one | ratio | 95 % | noise floor | verdict | beside it |",
      "|---|--:|--:|--:|--:|--:|---|---|",
    ]
    for result in report.results where result.network == network {
      let label = "\(result.row.title) \(result.row.conditions)"
      let reason = result.failed.map { "failed: \($0)" } ?? result.skipped.map { "skipped: \($0)" }
      guard reason == nil,
        let one = report.comparisons.first(where: { $0.a == network && $0.row == result.row })
      else {
        lines.append("| \(Self.cell(label)) | | | | | | \(Self.cell(reason ?? "no pair")) | |")
        continue
      }
      let reference = report.results.first { $0.network == baseline && $0.row == result.row }?.median
      let floor = report.noiseFloor.first { $0.row == result.row }
      func text(_ value: Double?) -> String { value.map { Quantity.text($0, unit: result.unit) } ?? "–" }
      let noise = floor.map { $0.ci95.map(Quantity.number).joined(separator: "–") } ?? "–"
      lines.append(
        "| \(Self.cell(label)) | \(text(reference)) | \(text(result.median)) | **\(one.ratioText)** | "
          + "\(one.intervalText) | \(noise) | \(one.outcome.rawValue) | "
          + "\(Self.cell(report.qualifiers(of: result).joined(separator: "; "))) |")
    }
    return lines
  }

  static func cell(_ text: String) -> String {
    text.replacing("|", with: "\\|").replacing("\n", with: " ").replacing("<", with: "&lt;")
  }
}
