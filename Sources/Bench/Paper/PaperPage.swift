// SPDX-License-Identifier: Apache-2.0
import Foundation

/// A report as one HTML page that needs nothing else: each figure drawn with the paper's value beside it.
public struct PaperPage {
  public var report: PaperReport

  public init(_ report: PaperReport) { self.report = report }

  private var palette: Palette {
    Palette(networks: report.measurements.settings.networks, baseline: PaperExperiment.baseline)
  }

  public func encoded() throws -> Data {
    let sections: [Markup] =
      [header, summary] + report.experiments.map(section) + [appendix(try report.encoded())]
    return Data(Markup.page("Culvert: \(report.sentence)", sections).source.utf8)
  }

  // MARK: - The answer

  private var header: Markup {
    let (environment, settings) = (report.measurements.environment, report.measurements.settings)
    return .header(
      report.sentence,
      """
      “An Analysis and Empirical Study of Container Networks” (Suo, Zhao, Chen, Rao; INFOCOM 2018), measured again on \
      \(environment.cpu), \(environment.cpus) CPUs, Linux \(environment.kernel)\(environment.virtualised ? ", virtualised" : ""); \
      \(settings.repeats) pairs of \(Quantity.number(settings.durationS)) s a row, interleaved; culvert \(environment.culvert). A finding is a \
      direction or a rank, and is judged by 95 % intervals.
      """,
      warnings: [
        environment.debugBuild ? Markup.debugWarning : nil, report.complete ? nil : Markup.interruptedWarning,
      ])
  }

  private var summary: Markup {
    let rows = report.experiments.filter { !$0.findings.isEmpty }.map { experiment -> Markup in
      let counts = FindingOutcome.allCases.map { outcome -> Markup in
        let count = experiment.findings.count { $0.outcome == outcome }
        return "<td class=\"num \(count == 0 ? "soft" : style(outcome))\">\(count)</td>"
      }
      return """
        <tr><th scope="row"><a href="#\(experiment.id)">\(experiment.id)</a> <span class="soft">\(experiment.title)</span></th>\(counts)</tr>

        """
    }
    let names = FindingOutcome.allCases.map {
      "<th scope=\"col\" class=\"num\">\($0.rawValue)</th>" as Markup
    }
    let tiers = Markup.table(
      "Tiers against the kernel's own network, by rows; speeds: more is faster",
      ["tier", "better", "worse", "no difference", "speed"],
      report.tiers.map { tier in
        [
          key(tier.network), "\(tier.better)", "\(tier.worse)", "\(tier.alike)",
          "\(Quantity.number(tier.speeds.lowerBound))–\(Quantity.number(tier.speeds.upperBound))×",
        ]
      })
    return """
      <h2>In short</h2><div class="wide"><table class="lines"><caption>What of the paper's findings holds here</caption>\
      <thead><tr><th scope="col">experiment</th>\(names)</tr></thead><tbody>
      \(rows)</tbody></table></div>\(tiers)

      """
  }

  private func style(_ outcome: FindingOutcome) -> String {
    switch outcome {
    case .holds: "good"
    case .doesNotHold: "bad"
    case .cannotBeTold: "soft"
    }
  }

  private func key(_ network: String) -> Markup {
    .key(network, palette.style(of: network))
  }

  // MARK: - One experiment

  private func section(_ experiment: PaperReport.Experiment) -> Markup {
    let head: Markup = """
      <section id="\(experiment.id)"><h2>\(experiment.id): \(experiment.title)</h2><p>The paper: \(experiment.paper).</p>
      """
    let differs = experiment.differs.map { text -> Markup in "<p class=\"soft\">Here: \(text).</p>" }
    if let reason = experiment.skipped {
      return "\(head)\(differs)<p class=\"soft\">Skipped: \(reason).</p></section>\n"
    }
    let missing = experiment.missingText.map { text -> Markup in "<p class=\"soft\">\(text)</p>" }
    let findings = experiment.findings.map { finding -> Markup in
      """
      <tr><th scope="row">\(finding.text)</th><td class="outcome \(style(finding.outcome))"><b>\(finding.outcome.rawValue)</b></td>\
      <td class="soft">\(finding.because)</td></tr>

      """
    }
    return """
      \(head)\(differs)<div class="wide"><table class="lines"><tbody>
      \(findings)</tbody></table></div>
      \(PaperBlock.all(of: experiment).map(drawing))\(missing)</section>

      """
  }

  /// Lines where there are several sizes, bars for each.
  private func drawing(_ block: PaperBlock) -> Markup {
    let bars = block.sizes.map { size in
      PaperBars(block: block, size: size, palette: palette).markup
    }
    guard block.sizes.count > 2 else { return "\(bars)" }
    return """
      \(PaperLines(block: block, palette: palette).markup)<details><summary>\(block.title) at each size</summary>\(bars)</details>
      """
  }

  // MARK: - What stands behind it

  private func appendix(_ json: Data) -> Markup {
    return """
      <section><h2>Raw</h2>\(PageAppendix(page: ABPage(report.measurements)).environment)\
      \(Markup.samples(report.measurements.results))\
      \(Markup.download(json, as: "culvert-paper.json", schema: report.schema))</section>

      """
  }
}

/// Each network at one size: its ratio to `bare` as a bar with its interval, and the paper's as a mark.
struct PaperBars {
  var block: PaperBlock
  var size: Int
  var palette: Palette

  private var figures: [PaperReport.Figure] { block.networks.compactMap { block.figure($0, size) } }

  /// Of what the bars are: ratios to `bare`, or times as they are.
  private func value(_ figure: PaperReport.Figure) -> (value: Double, bounds: [Double]?)? {
    if block.isAbsolute { return figure.median.map { ($0, figure.ci95) } }
    if figure.network == PaperExperiment.baseline { return (1, nil) }
    return figure.ratio.map { ($0, figure.ratioCi95) }
  }

  /// The paper's, where it fits beside what is here: its containers take a thousand times as long to launch.
  private func mark(_ figure: PaperReport.Figure) -> Double? {
    block.isAbsolute ? (block.unit == "ms" ? nil : figure.paperValue) : figure.paperRatio
  }

  private var largest: Double {
    let all = figures.flatMap { figure in
      [value(figure)?.value, mark(figure)].compactMap { $0 } + (value(figure)?.bounds ?? [])
    }
    return max(block.isAbsolute ? 0 : 1, all.max() ?? 1) * 1.04
  }

  var markup: Markup {
    """
    <h3>\([block.title, block.label(size)].filter { !$0.isEmpty }.joined(separator: ", "))</h3><p class="soft">\(block.meaning)</p><table class="bars"><thead class="hide"><tr>\
    <th scope="col">network</th><th scope="col">\(block.isAbsolute ? "" : "against bare")</th>\
    <th scope="col" class="num head">\(block.isAbsolute ? "median, against bare" : "ratio, median")</th></tr></thead><tbody>
    \(figures.map(line))</tbody></table>

    """
  }

  private func line(_ figure: PaperReport.Figure) -> Markup {
    let style = palette.style(of: figure.network)
    let key = Markup.key(figure.network, style)
    if figure.median == nil, let reason = figure.skipped ?? figure.failed {
      let word = figure.failed == nil ? "skipped" : "failed"
      return """
        <tr><th scope="row">\(key)</th><td class="graph soft" colspan="2">\(word): \(reason)</td></tr>

        """
    }
    let isBaseline = figure.network == PaperExperiment.baseline
    let value = value(figure)
    let track = RatioTrack(
      style: style, width: 100 * (value?.value ?? 0) / largest,
      span: value?.bounds.flatMap { bounds in
        bounds.count == 2 ? (100 * bounds[0] / largest, 100 * bounds[1] / largest) : nil
      }, one: block.isAbsolute ? nil : 100 / largest, mark: mark(figure).map { 100 * $0 / largest })
    var beside: [String] = []
    if let paper = figure.paperText {
      beside.append(
        "the paper \(paper)"
          + (figure.paperValue == nil ? "" : figure.paperRatio.map { " (\(Quantity.number($0))×)" } ?? ""))
    }
    if let cpu = figure.cpuPercent { beside.append("\(Quantity.number(cpu)) % of its CPU") }
    if let parts = figure.partsText { beside.append(parts) }
    if let kernel = figure.kernelRatioText {
      beside.append("of \(figure.network.split(separator: "+")[0])'s \(kernel)")
    }
    let below: Markup? =
      beside.isEmpty
      ? nil
      : "<tr class=\"beside\"><th></th><td class=\"graph soft\" colspan=\"2\">\(beside.joined(separator: "; "))</td></tr>"
    let text =
      block.isAbsolute
      ? figure.medianText ?? "–"
      : isBaseline ? "1" : figure.ratio.map { Quantity.number($0) + "×" } ?? "no pair"
    let median =
      block.isAbsolute
      ? (isBaseline ? "" : figure.ratio.map { Quantity.number($0) + "×" } ?? "") : figure.medianText ?? "–"
    return """
      <tr><th scope="row">\(key)</th><td class="graph">\(track.markup)</td><td class="num value">\
      <b>\(text)</b> <span class="soft">\(median)</span></td></tr>\(below)

      """
  }
}

/// Ratios to `bare` by size, a line per network, and the paper's values as open circles.
struct PaperLines {
  var block: PaperBlock
  var palette: Palette

  var markup: Markup {
    let networks = block.networks
    let lines = networks.compactMap { network -> (network: String, points: [(Double, Double)])? in
      let points = block.sizes.compactMap { size -> (Double, Double)? in
        let figure = block.figure(network, size)
        let value = network == PaperExperiment.baseline && figure?.median != nil ? 1 : figure?.ratio
        return value.map { (log2(Double(size)), $0) }
      }
      return points.count > 1 ? (network, points) : nil
    }
    guard lines.count > 1 else { return "" }
    let papers = block.figures.compactMap { figure in
      figure.paperRatio.map { (figure.network, log2(Double(figure.axis)), $0) }
    }
    let most = max(1, (lines.flatMap(\.points).map(\.1) + papers.map(\.2)).max() ?? 1)
    let axes = Axes(
      title: "\(block.title) by \(block.isByContainers ? "containers" : "size")",
      description: "Ratio to bare; one line per network; circles: the paper's",
      x: log2(Double(block.sizes.first!))...log2(Double(block.sizes.last!)), y: 0...most)
    let drawn = lines.flatMap { axes.dottedCurve($0.points, palette.style(of: $0.network)) }
    let marks = papers.map { network, x, y -> Markup in
      """
      <circle class="ring \(palette.style(of: network))" cx="\(axes.px(x))" cy="\(axes.py(y))" r="5"/>
      """
    }
    let names = axes.names(lines.map { ($0.network, palette.style(of: $0.network), $0.points.last!.1) })
    let note: Markup? = papers.isEmpty ? nil : "<p class=\"soft\">Open circles: the paper's values.</p>"
    return """
      <h3>\(block.title): ratio to bare, by \(block.isByContainers ? "containers" : "size")</h3><p class="soft">\(block.meaning)</p>
      \(axes.draw(
        xTicks: block.sizes.map { (log2(Double($0)), block.isByContainers ? "\($0)" : Quantity.bytes($0)) },
        yTicks: Axes.ticks(upTo: most).map { ($0, Quantity.tick(Quantity.number($0) + "×")) }, drawn + marks + names))\(note)
      """
  }
}
