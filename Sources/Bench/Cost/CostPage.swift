// SPDX-License-Identifier: Apache-2.0
import Foundation

/// The ladder as one HTML page that needs nothing else: the steps as waterfalls, cost by table, packet and
/// burst size as curves, every figure below.
public struct CostPage {
  public var report: CostReport

  public init(_ report: CostReport) { self.report = report }

  public func encoded() throws -> Data { Data(try html().utf8) }

  func html() throws -> String {
    let parts: [Markup] = [
      header, ladders, curves, figures,
      "<section><h2>Raw</h2>\(environment)\(Markup.download(try report.encoded(), as: "culvert-cost.json", schema: report.schema))</section>",
    ]
    return Markup.page("Culvert: what a packet costs", parts).source
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

  private var ladders: Markup {
    let paths = Dictionary(grouping: report.steps.filter { $0.part == .path }, by: \.step)
      .sorted { $0.key > $1.key }.map { name, steps -> Markup in
        let most = steps.map(\.nsPerPacket.median).max() ?? 1
        let bars = steps.map {
          bar(
            $0.tier, from: 0, to: $0.nsPerPacket.median, of: most, $0.tier.contains("+") ? "n0" : "base",
            "\($0.packetsPerSecond.map { Quantity.text($0, unit: "1/s") } ?? "")")
        }
        return """
          <h3>\(CostReport.Part.path.title), \(name)</h3><table class="bars"><tbody>\(bars)</tbody></table>

          """
      }
    let falls = chains.map { chain -> Markup in
      let most = chain.steps.map(\.nsPerPacket.median).max() ?? 1
      var before = 0.0
      let bars = chain.steps.map { step -> Markup in
        defer { before = step.nsPerPacket.median }
        return bar(
          step.step, from: before, to: step.nsPerPacket.median, of: most, "n0",
          step.adds.map { "+\(Quantity.nanoseconds($0.median))" } ?? "")
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

  // MARK: - Curves

  private struct Line {
    var name: String
    var points: [(x: Int, ns: Double)]
  }

  /// Steps under conditions that differ in one number, by that number.
  private func lines(
    _ part: CostReport.Part, by number: (CostReport.Conditions) -> Int?,
    where isWanted: (CostReport.Step) -> Bool, name: (CostReport.Step) -> String
  ) -> [Line] {
    var lines: [Line] = []
    for step in report.steps where step.part == part && isWanted(step) && !step.nsPerPacket.isHidden {
      guard let x = number(step.conditions) else { continue }
      let name = name(step)
      if let index = lines.firstIndex(where: { $0.name == name }) {
        if !lines[index].points.contains(where: { $0.x == x }) {
          lines[index].points.append((x, step.nsPerPacket.median))
        }
      } else {
        lines.append(Line(name: name, points: [(x, step.nsPerPacket.median)]))
      }
    }
    return lines.map { Line(name: $0.name, points: $0.points.sorted { $0.x < $1.x }) }
      .filter { $0.points.count > 1 }
  }

  /// Room for a name is short at the end of a curve.
  private static func short(_ step: String) -> String { step.replacing("capsulate", with: "cap") }

  private var curves: Markup {
    let table = lines(
      .bpf, by: \.entries, where: { $0.step.hasSuffix("looked up") },
      name: {
        Self.short($0.step).replacing(
          ", looked up", with: $0.conditions.destinations == "all" ? ", cold" : "")
      })
    let packet = lines(
      .bpf, by: \.bytes, where: { ["encapsulate", "decapsulate"].contains($0.step) },
      name: { "\(Self.short($0.step)) IPv\($0.conditions.ipVersion ?? 4)" })
    let burst = lines(
      .swift, by: \.burst, where: { $0.conditions.ipVersion == 4 && $0.step != "complete" }, name: \.step)
    let bytes = lines(.swift, by: \.bytes, where: { $0.step == "complete" }, name: \.step)
    return """
      <section><h2>By size</h2>\
      \(plot("By entries in the table, tier xdp, nothing remembered", table))\
      \(plot("By bytes of the frame, tier xdp", packet))\
      \(plot("By frames in a burst, tier afxdp's forwarder", burst))\
      \(plot("Completing a checksum, by bytes of the frame, tier afxdp's forwarder", bytes))</section>

      """
  }

  private func plot(_ title: String, _ lines: [Line]) -> Markup {
    guard !lines.isEmpty else { return "" }
    let all = lines.flatMap(\.points)
    func place(_ x: Int) -> Double { log2(Double(max(1, x))) }
    let most = all.map(\.ns).max() ?? 1
    let xs = Set(all.map(\.x)).sorted()
    let axes = Axes(
      title: title, description: "Nanoseconds per packet; one line per step",
      x: place(xs.first!)...place(xs.last!), y: 0...most)
    let drawn = lines.enumerated().flatMap { index, line -> [Markup] in
      let style = "n\(index % 8)"
      let dots = line.points.map { point -> Markup in
        "<circle class=\"dot \(style)\" cx=\"\(axes.px(place(point.x)))\" cy=\"\(axes.py(point.ns))\" r=\"2.6\"/>"
      }
      return [axes.curve(line.points.map { (place($0.x), $0.ns) }, style)] + dots
    }
    let names = axes.names(
      lines.enumerated().map { ($0.element.name, "n\($0.offset % 8)", $0.element.points.last!.ns) })
    return """
      <h3>\(title)</h3>
      \(axes.draw(
        xTicks: xs.map { (place($0), Quantity.count($0)) },
        yTicks: Axes.ticks(upTo: most).map { ($0, "\(Quantity.nanoseconds($0)) ns") }, drawn + names))
      """
  }

  // MARK: - Every figure

  private var figures: Markup {
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
    }
    return """
      <section><h2>Every step</h2>\
      \(Markup.table("Nanoseconds per packet", ["step", "median", "95 %", "adds", "of C's"], rows))</section>

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
