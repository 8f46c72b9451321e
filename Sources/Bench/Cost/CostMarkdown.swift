// SPDX-License-Identifier: Apache-2.0

/// The steps as GitHub-flavoured Markdown, for pull requests: a table a part.
public struct CostMarkdown {
  public var report: CostReport

  public init(_ report: CostReport) { self.report = report }

  public var text: String {
    let environment = report.environment
    var lines = [
      "### What a packet costs", "",
      "\(ABMarkdown.cell(environment.cpu)), \(environment.cpus) CPUs, Linux \(ABMarkdown.cell(environment.kernel)); "
        + "\(environment.rounds) rounds, interleaved",
    ]
    if environment.debugBuild { lines += ["", "**Debug build: these timings say little.**"] }
    for part in CostReport.Part.allCases {
      let steps = report.steps.filter { $0.part == part }
      guard !steps.isEmpty else { continue }
      lines += ["", "| \(part.title) | under | ns/packet | 95 % | adds | of C's |", "|---|---|--:|--:|--:|--:|"]
      lines += steps.map(line)
    }
    for failed in report.failures ?? [] {
      lines += ["", "Not measured: \(ABMarkdown.cell(failed.what)): \(ABMarkdown.cell(failed.reason))"]
    }
    return lines.joined(separator: "\n") + "\n"
  }

  private func line(_ step: CostReport.Step) -> String {
    let figure = step.nsPerPacket
    let name = step.part == .path ? "\(step.tier) \(step.step)" : step.step
    let adds = step.adds.map { $0.isHidden ? "spread" : Quantity.nanoseconds($0.median) }
    return "| \(ABMarkdown.cell(name)) | \(ABMarkdown.cell(step.conditions.words)) | "
      + "\(figure.isHidden ? "spread" : Quantity.nanoseconds(figure.median)) | "
      + "\(figure.ci95.map(Quantity.nanoseconds).joined(separator: "–")) | \(adds ?? "") | "
      + "\(step.referenceRatio.map { Quantity.number($0.median) + "×" } ?? "") |"
  }
}
