// SPDX-License-Identifier: Apache-2.0
import Foundation

/// The ladder as one HTML page that needs nothing else: the result in short, the steps as waterfalls, cost by table,
/// packet and burst size as curves, every figure below.
public struct CostPage {
  public var report: CostReport

  public init(_ report: CostReport) { self.report = report }

  public func encoded() throws -> Data { Data(try html().utf8) }

  func html() throws -> String {
    let parts: [Markup?] = [
      header, failures, summary, CostBars(report: report).markup, CostCurves(report: report).markup, steps, figures,
      "<section><h2>Raw</h2>\(environment)\(Markup.download(try report.encoded(), as: "culvert-cost.json", schema: report.schema))</section>",
    ]
    return Markup.page("Culvert: \(report.sentence)", parts.compactMap(\.self)).source
  }

  private var header: Markup {
    let environment = report.environment
    let virtual = environment.virtualised ? ", virtualised" : ""
    return .header(
      report.sentence,
      """
      \(environment.cpu), \(environment.cpus) CPUs, Linux \(environment.kernel)\(virtual). \
      Medians of \(environment.rounds) rounds in which the steps take turns, with 95 % intervals; culvert \(environment.culvert).
      """,
      warnings: [environment.debugBuild ? Markup.debugWarning : nil])
  }

  private var failures: Markup? {
    report.failures.map { failures in
      let rows = failures.map { failed -> [Markup] in ["\(failed.what)", "\(failed.reason)"] }
      return
        "<section class=\"warn\"><h2>Not measured</h2>\(Markup.table("", ["what", "why"], rows))</section>\n"
    }
  }

  private var summary: Markup {
    let rows = report.highlights.map { line -> [Markup] in
      [
        "\(line.what)", "<b>\(Quantity.nanoseconds(line.step.nsPerPacket.median)) ns</b>",
        "\(Self.interval(line.step.nsPerPacket))", "\(line.beside ?? "")",
      ]
    }
    guard !rows.isEmpty else { return "" }
    return """
      <section><h2>In short</h2>\(Markup.table("Nanoseconds per packet of 64 B", ["what", "median", "95 %", "beside"], rows))</section>

      """
  }

  static func interval(_ figure: CostReport.Figure) -> String {
    figure.ci95.map(Quantity.nanoseconds).joined(separator: "–")
  }

  // MARK: - What the steps are

  private var steps: Markup {
    var seen: Set<String> = []
    let terms = report.steps.compactMap { step -> (id: String, term: Markup, text: Markup)? in
      guard !step.step.hasPrefix("kernel: "), let text = step.explanation, seen.insert(step.step).inserted else { return nil }
      return (step.anchor, "\(step.step)", "\(text)")
    }
    let ways: [(id: String, term: Markup, text: Markup)] =
      report.steps.contains { $0.step.hasPrefix("kernel: ") }
      ? [("step-kernel", "kernel: …", "a packet that is left to the kernel for this reason, up to that decision")] : []
    return .glossary("The steps", id: "steps", terms + ways)
  }

  // MARK: - Every figure

  private var figures: Markup {
    let counts = report.steps.contains { $0.instructionsPerPacket != nil }
    var groups: [(name: String, rows: [[Markup]])] = []
    for step in report.steps {
      let name = [step.part.title, step.conditions.words].filter { !$0.isEmpty }.joined(separator: ": ")
      if groups.last?.name != name { groups.append((name, [])) }
      groups[groups.count - 1].rows.append(row(step, counts))
    }
    let head = ["step", "median", "95 %", "adds", "of C's"] + (counts ? ["instructions", "cycles"] : [])
    return """
      <section><h2>Every step</h2><details><summary>\(report.steps.count) steps under \(groups.count) conditions</summary>\
      \(Markup.table("Nanoseconds per packet; each line is cumulative, adds is the difference to the line above", head, groups: groups))</details></section>

      """
  }

  private func row(_ step: CostReport.Step, _ counts: Bool) -> [Markup] {
    let name = step.part == .path ? "\(step.tier) \(step.step)" : step.step
    return [
      "\(name)",
      step.nsPerPacket.isHidden
        ? "<span class=\"soft\">spread hides it</span>" : "\(Quantity.nanoseconds(step.nsPerPacket.median))",
      "\(Self.interval(step.nsPerPacket))",
      "\(step.adds.map { Quantity.nanoseconds($0.median) } ?? "")",
      "\(step.referenceRatio.map { Quantity.number($0.median) + "×" } ?? "")",
    ]
      + (counts
        ? [
          "\(step.instructionsPerPacket.map { Quantity.nanoseconds($0.median) } ?? "")",
          "\(step.cyclesPerPacket.map { Quantity.nanoseconds($0.median) } ?? "")",
        ] : [])
  }

  private var environment: Markup {
    let rows = report.environment.mitigations.sorted { $0.key < $1.key }.map { name, value -> [Markup] in
      ["\(name)", "\(value)"]
    }
    return
      "<details><summary>Mitigations of this CPU</summary>\(Markup.table("", ["what", "value"], rows))</details>"
  }
}
