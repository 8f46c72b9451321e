// SPDX-License-Identifier: Apache-2.0

/// A report as GitHub-flavoured Markdown.
public struct PaperMarkdown {
  public var report: PaperReport

  public init(_ report: PaperReport) { self.report = report }

  public var text: String {
    let (environment, settings) = (report.measurements.environment, report.measurements.settings)
    var lines = ["### \(ABMarkdown.cell(report.sentence))", ""]
    lines.append(
      "\(ABMarkdown.cell(environment.cpu)), \(environment.cpus) CPUs, Linux \(ABMarkdown.cell(environment.kernel)); "
        + "\(settings.repeats) pairs of \(Quantity.number(settings.durationS)) s, interleaved; culvert "
        + "\(ABMarkdown.cell(environment.culvert)). Ratios are against `bare`, with 95 % intervals.")
    if environment.debugBuild { lines += ["", "**Debug build: these timings say little.**"] }
    if !report.complete { lines += ["", "**Interrupted: what is missing was not measured.**"] }
    for experiment in report.experiments { lines += section(experiment) }
    return lines.joined(separator: "\n") + "\n"
  }

  private func section(_ experiment: PaperReport.Experiment) -> [String] {
    var lines = ["", "#### \(experiment.id): \(ABMarkdown.cell(experiment.title))", ""]
    lines.append("The paper: \(ABMarkdown.cell(experiment.paper)).")
    if let differs = experiment.differs { lines += ["", "Here: \(ABMarkdown.cell(differs))."] }
    if let reason = experiment.skipped { return lines + ["", "Skipped: \(ABMarkdown.cell(reason))."] }
    for block in PaperBlock.all(of: experiment) {
      lines += [
        "", "| \(ABMarkdown.cell(block.title)) |" + block.sizes.map { " \(block.label($0)) |" }.joined(),
        "|---|" + block.sizes.map { _ in "--:|" }.joined(),
      ]
      for network in block.networks {
        let cells = block.sizes.map { size in block.figure(network, size).map(cell) ?? "" }
        lines.append("| `\(network)` |" + cells.map { " \($0) |" }.joined())
      }
    }
    if let missing = experiment.missingText { lines += ["", ABMarkdown.cell(missing)] }
    if !experiment.findings.isEmpty { lines += ["", "| finding | here | because |", "|---|---|---|"] }
    for finding in experiment.findings {
      lines.append(
        "| \(ABMarkdown.cell(finding.text)) | **\(finding.outcome.rawValue)** | \(ABMarkdown.cell(finding.because)) |"
      )
    }
    return lines
  }

  private func cell(_ figure: PaperReport.Figure) -> String {
    if let reason = figure.skipped { return "skipped: \(ABMarkdown.cell(reason))" }
    if let reason = figure.failed { return "failed: \(ABMarkdown.cell(reason))" }
    var parts = [figure.medianText ?? "–"]
    if let ratio = figure.ratioText { parts.append("**\(ratio)**") }
    if let paper = figure.paperText { parts.append("paper \(paper)") }
    if let kernel = figure.kernelRatioText { parts.append("of the kernel's \(kernel)") }
    return parts.joined(separator: "; ")
  }
}
