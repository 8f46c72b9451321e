// SPDX-License-Identifier: Apache-2.0
import Foundation

/// The ladder as one HTML page that needs nothing else: the steps as waterfalls, cost by table, packet and
/// burst size as curves, every figure below.
public struct CostPage {
  public var report: CostReport

  public init(_ report: CostReport) { self.report = report }

  public func encoded() throws -> Data { Data(try html().utf8) }

  func html() throws -> String {
    let parts: [Markup?] = [
      header, failures, ladders, CostCurves(report: report).markup, figures,
      "<section><h2>Raw</h2>\(environment)\(Markup.download(try report.encoded(), as: "culvert-cost.json", schema: report.schema))</section>",
    ]
    return Markup.page("Culvert: what a packet costs", parts.compactMap(\.self)).source
  }

  private var header: Markup {
    let environment = report.environment
    let virtual = environment.virtualised ? ", virtualised" : ""
    let warning: Markup? =
      environment.debugBuild ? "<p class=\"warn\">Debug build: these timings say little.</p>" : nil
    return """
      <header><h1>What a packet costs, step by step</h1>\
      <p class="soft">\(environment.cpu), \(environment.cpus) CPUs, Linux \(environment.kernel)\(virtual). \
      Medians of \(environment.rounds) rounds in which the steps take turns, with 95 % intervals; \
      culvert \(environment.culvert).</p>\(warning)</header>

      """
  }

  private var failures: Markup? {
    report.failures.map { failures in
      let rows = failures.map { failed -> [Markup] in ["\(failed.what)", "\(failed.reason)"] }
      return
        "<section class=\"warn\"><h2>Not measured</h2>\(Markup.table("", ["what", "why"], rows))</section>\n"
    }
  }

  // MARK: - Waterfalls

  private struct Chain {
    var title: String
    var steps: [CostReport.Step]
  }

  /// Steps that stand on one another, under what most of the ladder is measured under.
  private var chains: [Chain] {
    var chains: [Chain] = []
    for step in report.steps where step.part != .path && isUsual(step.conditions) && step.adds == nil {
      var steps = [step]
      while let next = report.steps.first(where: { next in
        next.part == step.part && next.conditions == step.conditions && next.above == steps.last!.step
          && !next.step.hasSuffix("looked up")
      }) {
        steps.append(next)
      }
      if steps.count > 1 {
        chains.append(Chain(title: "\(step.part.title): \(step.conditions.words)", steps: steps))
      }
    }
    return chains
  }

  private func isUsual(_ conditions: CostReport.Conditions) -> Bool {
    conditions.ipVersion == 4 && conditions.bytes == 64 && conditions.destinations != "all"
      && [nil, 64].contains(conditions.burst)
  }

  /// What hosts were measured under alike.
  private struct HostKind: Equatable {
    var step: String
    var conditions: CostReport.Conditions
    init(_ step: CostReport.Step) {
      self.step = step.step
      conditions = step.conditions
    }
    var name: String { "\(step), \(conditions.words)" }
  }

  private var ladders: Markup {
    let hosts = report.steps.filter { $0.part == .path }
    let kinds = hosts.map(HostKind.init).reduce(into: [HostKind]()) { if !$0.contains($1) { $0.append($1) } }
    let paths = kinds.map { kind -> Markup in
      let steps = hosts.filter { HostKind($0) == kind }
      let most = steps.map(\.nsPerPacket.median).max() ?? 1
      let bars = steps.map {
        bar(
          $0.tier, from: 0, to: $0.nsPerPacket.median, of: most, $0.tier.contains("+") ? "n0" : "base",
          "\($0.packetsPerSecond.map { Quantity.text($0, unit: "1/s") } ?? "")")
      }
      return """
        <h3>One host under test, \(kind.name)</h3><table class="bars"><tbody>\(bars)</tbody></table>

        """
    }
    let falls = chains.map { chain -> Markup in
      let most = chain.steps.map(\.nsPerPacket.median).max() ?? 1
      var before = 0.0
      let bars = chain.steps.map { step -> Markup in
        defer { before = step.nsPerPacket.median }
        return bar(
          step.step, from: before, to: step.nsPerPacket.median, of: most, "n0",
          step.nsPerPacket.isHidden
            ? "spread hides it" : step.adds.map { "+\(Quantity.nanoseconds($0.median))" } ?? "")
      }
      return "<h3>\(chain.title)</h3><table class=\"bars\"><tbody>\(bars)</tbody></table>\n"
    }
    return """
      <section><h2>The ladder</h2><p class="soft">Nanoseconds per packet: each bar begins where the step below ends.</p>\(falls)\(paths)</section>

      """
  }

  private func bar(
    _ name: String, from: Double, to: Double, of most: Double, _ style: String, _ note: String
  ) -> Markup {
    let left = max(0, 100 * min(from, to) / most)
    let width = max(0.4, 100 * abs(to - from) / most)
    return """
      <tr><th scope="row">\(name)</th><td class="graph"><div class="track">\
      <span class="bar \(style)" style="left:\(left)%;width:\(width)%"></span></div></td>\
      <td class="num value head"><b>\(Quantity.nanoseconds(to)) ns</b> <span class="soft">\(note)</span></td></tr>

      """
  }

  // MARK: - Every figure

  private var figures: Markup {
    let counts = report.steps.contains { $0.instructionsPerPacket != nil }
    let rows = report.steps.map { step -> [Markup] in
      [
        "\(step.tier) \(step.step) <span class=\"soft\">\(step.conditions.words)</span>",
        step.nsPerPacket.isHidden
          ? "<span class=\"soft\">spread hides it</span>"
          : "\(Quantity.nanoseconds(step.nsPerPacket.median))",
        "\(step.nsPerPacket.ci95.map(Quantity.nanoseconds).joined(separator: "–"))",
        "\(step.adds.map { Quantity.nanoseconds($0.median) } ?? "")",
        "\(step.referenceRatio.map { Quantity.number($0.median) + "×" } ?? "")",
      ]
        + (counts
          ? [
            "\(step.instructionsPerPacket.map { Quantity.nanoseconds($0.median) } ?? "")",
            "\(step.cyclesPerPacket.map { Quantity.nanoseconds($0.median) } ?? "")",
          ] : [])
    }
    return """
      <section><h2>Every step</h2>\
      \(Markup.table("Nanoseconds per packet", ["step", "median", "95 %", "adds", "of C's"] + (counts ? ["instructions", "cycles"] : []), rows))</section>

      """
  }

  private var environment: Markup {
    let rows = report.environment.mitigations.sorted { $0.key < $1.key }.map { name, value -> [Markup] in
      ["\(name)", "\(value)"]
    }
    return
      "<details><summary>Mitigations of this CPU</summary>\(Markup.table("", ["what", "value"], rows))</details>"
  }
}
