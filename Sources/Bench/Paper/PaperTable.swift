// SPDX-License-Identifier: Apache-2.0

/// A report as text, at most 80 columns wide: the result in a sentence, then each experiment with the paper's words, its
/// figures, and what of the findings holds.
public struct PaperTable {
  public var report: PaperReport
  public var coloured: Bool

  public init(_ report: PaperReport, coloured: Bool) {
    self.report = report
    self.coloured = coloured
  }

  private static let width = ABTable.width
  private static let name = 17
  private static let column = 21
  private static let columns = (width - name) / column

  public var text: String {
    var lines: [String] = []
    let environment = report.measurements.environment
    if environment.debugBuild {
      lines += "DEBUG BUILD: these timings say little.".painted(.red, where: coloured).wrapped(Self.width)
    }
    lines += (report.sentence + ".").wrapped(Self.width)
    lines += machine.wrapped(Self.width, indent: 2)
    for experiment in report.experiments { lines += section(experiment) }
    lines += tiers
    lines += ABFootnotes(report: report.measurements).failureLines
    if let note = report.measurements.unsettledNote { lines += [""] + note.wrapped(Self.width) }
    if !report.complete { lines += ["", "INTERRUPTED: what is missing was not measured."] }
    return lines.joined(separator: "\n") + "\n"
  }

  private var machine: String {
    let (environment, settings) = (report.measurements.environment, report.measurements.settings)
    return "\(environment.cpu), \(environment.cpus) CPUs, Linux \(environment.kernel)"
      + (environment.virtualised ? ", virtualised" : "")
      + "; \(settings.repeats) pairs of \(Quantity.number(settings.durationS)) s; ratios are against bare, with 95 % intervals"
  }

  // MARK: - One experiment

  private func section(_ experiment: PaperReport.Experiment) -> [String] {
    var lines = [""] + "\(experiment.id)  \(experiment.title)".wrapped(Self.width, indent: 2)
    lines += "the paper: \(experiment.paper)".wrapped(Self.width - 2, indent: 2).map { "  " + $0 }
    if let differs = experiment.differs {
      lines += "here: \(differs)".wrapped(Self.width - 2, indent: 2).map { "  " + $0 }
    }
    if let reason = experiment.skipped {
      return lines + "skipped: \(reason)".wrapped(Self.width - 2, indent: 2).map { "  " + $0 }
    }
    for block in PaperBlock.all(of: experiment) { lines += self.block(block) }
    lines += parts(experiment)
    lines += missing(experiment)
    lines.append("")
    for finding in experiment.findings { lines += self.finding(finding) }
    return lines
  }

  private func block(_ block: PaperBlock) -> [String] {
    let sizes = block.sizes
    return stride(from: 0, to: sizes.count, by: Self.columns).flatMap { start -> [String] in
      let shown = Array(sizes[start..<min(start + Self.columns, sizes.count)])
      let head = line(block.title.count <= Self.name ? block.title : "", shown.map { block.label($0) })
      var lines = block.title.count <= Self.name ? ["", head] : ["", block.title, head]
      for network in block.networks {
        lines += row(network, block, shown)
        if block.figures.contains(where: { $0.network == network && $0.kernelRatio != nil }) {
          let kernel = network.split(separator: "+").first.map(String.init) ?? ""
          lines.append(
            self.line("  of \(kernel)'s", shown.map { block.figure(network, $0)?.kernelRatioText ?? "" }))
        }
      }
      let papers = block.networks.filter { network in
        shown.contains { block.figure(network, $0)?.paperText != nil }
      }
      for network in papers {
        lines.append(
          line(
            " paper: \(network)",
            shown.map { block.figure(network, $0)?.paperText.map { "\($0)           " } ?? "" }))
      }
      return lines
    }
  }

  private func missing(_ experiment: PaperReport.Experiment) -> [String] {
    guard let line = experiment.missingText else { return [] }
    return [""] + line.wrapped(Self.width, indent: 2)
  }

  /// What a launch is made of.
  private func parts(_ experiment: PaperReport.Experiment) -> [String] {
    let told = experiment.figures.filter { $0.partsText != nil }
    guard !told.isEmpty else { return [] }
    return ["", "of which"]
      + told.flatMap {
        "\($0.network.left(Self.name)) \($0.partsText!)".wrappedAs(Self.width, indent: Self.name + 1)
      }
  }

  private func row(_ network: String, _ block: PaperBlock, _ sizes: [Int]) -> [String] {
    let figures = sizes.map { block.figure(network, $0) }
    if let reason = figures.compactMap({ $0?.skipped ?? $0?.failed.map { "failed: \($0)" } }).first,
      figures.allSatisfy({ $0?.median == nil })
    {
      return "\(network): \(reason)".wrapped(Self.width, indent: 2)
    }
    let texts = figures.map { figure -> String in
      guard let figure else { return "" }
      if block.isAbsolute { return figure.valueText ?? "–" }
      if network == PaperExperiment.baseline { return figure.medianText ?? "–" }
      return figure.ratioText ?? figure.medianText ?? "–"
    }
    return [line(network, texts)]
  }

  private func line(_ name: String, _ texts: [String]) -> String {
    (name.left(Self.name) + texts.map { " " + $0.right(Self.column - 1) }.joined()).withoutTrailingBlanks
  }

  private func finding(_ finding: PaperReport.Finding) -> [String] {
    let (word, colour): (String, TerminalColour?) =
      switch finding.outcome {
      case .holds: ("holds", .green)
      case .doesNotHold: ("DOES NOT HOLD", .red)
      case .cannotBeTold: ("cannot be told", nil)
      }
    var lines = "  \(word.left(14)) \(finding.text): \(finding.because)".wrappedAs(Self.width, indent: 17)
    lines[0] = lines[0].replacing(word, with: word.painted(colour, where: coloured), maxReplacements: 1)
    return lines
  }

  // MARK: - The proposals

  private var tiers: [String] {
    let tiers = report.tiers
    guard !tiers.isEmpty else { return [] }
    return ["", "Tiers against the kernel's own network, by rows (speeds: more is faster)"]
      + tiers.map { tier in
        tier.network.left(Self.name) + " against \(tier.kernel):".left(20)
          + "\(tier.better) better, \(tier.worse) worse, \(tier.alike) no difference; "
          + "\(Quantity.number(tier.speeds.lowerBound))–\(Quantity.number(tier.speeds.upperBound))×"
      }
  }
}

extension String {
  /// As `wrapped`, with the blanks that it begins with and has inside kept in the first line.
  fileprivate func wrappedAs(_ width: Int, indent: Int) -> [String] {
    let head = String(prefix(indent))
    var lines = dropFirst(indent).description.wrapped(width - indent)
    lines = lines.map { String(repeating: " ", count: indent) + $0 }
    guard !lines.isEmpty else { return [head] }
    lines[0] = head + lines[0].dropFirst(indent)
    return lines
  }
}
