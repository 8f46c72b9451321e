// SPDX-License-Identifier: Apache-2.0
import Foundation

/// What a packet costs by the size of something, and how long frames take by load, as curves.
struct CostCurves {
  var report: CostReport

  var markup: Markup {
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
      .swift, by: \.burst, where: { ($0.conditions.ipVersion ?? 4) == 4 && $0.step != "complete" },
      name: \.step)
    let bytes = lines(.swift, by: \.bytes, where: { $0.step == "complete" }, name: \.step)
    let sizes = [
      plot("By entries in the table, tier xdp, nothing remembered", table),
      plot("By bytes of the frame, tier xdp", packet),
      plot("By frames in a burst, tier afxdp's forwarder", burst),
      plot("Completing a checksum, by bytes of the frame, tier afxdp's forwarder", bytes),
    ]
    let loads = PacketDirection.allCases.map { delay($0.rawValue) }
    let sections = [
      section("By size", "Nanoseconds per packet.", sizes),
      section(
        "By load",
        "How long a frame takes from the generator to the counter, by time stamps inside it, at parts of the rate "
          + "that loses none.", loads),
    ]
    return "\(sections)"
  }

  /// Nothing where there is nothing to draw.
  private func section(_ title: String, _ text: String, _ plots: [Markup]) -> Markup {
    guard plots.contains(where: { !$0.source.isEmpty }) else { return "" }
    return "<section><h2>\(title)</h2><p class=\"soft\">\(text)</p>\(plots)</section>\n"
  }

  private struct Line {
    var name: String
    var points: [(x: Double, y: Double)]
  }

  /// Steps under conditions that differ in one number, by that number, on a logarithmic scale.
  private func lines(
    _ part: CostReport.Part, by number: (CostReport.Conditions) -> Int?,
    where isWanted: (CostReport.Step) -> Bool, name: (CostReport.Step) -> String
  ) -> [Line] {
    var lines: [Line] = []
    for step in report.steps where step.part == part && isWanted(step) && !step.nsPerPacket.isHidden {
      guard let x = number(step.conditions).map({ log2(Double(max(1, $0))) }) else { continue }
      let name = name(step)
      let point = (x: x, y: step.nsPerPacket.median)
      if let index = lines.firstIndex(where: { $0.name == name }) {
        if !lines[index].points.contains(where: { $0.x == x }) { lines[index].points.append(point) }
      } else {
        lines.append(Line(name: name, points: [point]))
      }
    }
    return lines.map { Line(name: $0.name, points: $0.points.sorted { $0.x < $1.x }) }
      .filter { $0.points.count > 1 }
  }

  /// Room for a name is short at the end of a curve.
  private static func short(_ step: String) -> String { step.replacing("capsulate", with: "cap") }

  /// Where some are many times the others, on a logarithmic scale, which presses none into the axis.
  private func plot(_ title: String, _ lines: [Line]) -> Markup {
    let description = "Nanoseconds per packet; one line per step"
    func xLabel(_ x: Double) -> String { Quantity.count(Int(pow(2, x).rounded())) }
    let all = lines.flatMap(\.points).map(\.y)
    guard let least = all.min(), let most = all.max(), least > 0, most > 20 * least else {
      return draw(title, description, lines, xLabel: xLabel, yLabel: { Quantity.tick("\(Quantity.nanoseconds($0)) ns") })
    }
    let ticks = Axes.logTicks(least, most).map { log2($0) }
    return draw(
      title, description, lines.map { Line(name: $0.name, points: $0.points.map { ($0.x, log2($0.y)) }) },
      y: ticks.first!...ticks.last!, yTicks: ticks, xLabel: xLabel,
      yLabel: { Quantity.tick("\(Quantity.nanoseconds(pow(2, $0))) ns") })
  }

  /// The median; times spread over decades, so that the scale is logarithmic.
  private func delay(_ direction: String) -> Markup {
    let lines = report.steps.filter { $0.step == direction }.compactMap { step in
      step.delays.map { delays in
        Line(
          name: step.tier, points: delays.map { (Double($0.percentOfNdr), log2(max($0.p50Us, 0.01))) })
      }
    }
    let all = lines.flatMap(\.points).map(\.y)
    guard let least = all.min(), let most = all.max() else { return "" }
    let ticks = Axes.logTicks(pow(2, least), pow(2, most)).map { log2($0) }
    return draw(
      "Median, \(direction)", "Microseconds by percent of the loss-free rate; one line per network", lines,
      y: ticks.first!...ticks.last!, yTicks: ticks,
      xLabel: { "\(Int($0)) %" }, yLabel: { Quantity.tick(Quantity.text(pow(2, $0), unit: "us")) })
  }

  private func draw(
    _ title: String, _ description: String, _ lines: [Line], y: ClosedRange<Double>? = nil,
    yTicks: [Double]? = nil, xLabel: (Double) -> String, yLabel: (Double) -> String
  ) -> Markup {
    guard !lines.isEmpty else { return "" }
    let all = lines.flatMap(\.points)
    let most = all.map(\.y).max() ?? 1
    let xs = Set(all.map(\.x)).sorted()
    let axes = Axes(title: title, description: description, x: xs.first!...xs.last!, y: y ?? 0...most)
    let drawn = lines.enumerated().flatMap { index, line in
      axes.dottedCurve(line.points.map { ($0.x, $0.y) }, "n\(index % 8)")
    }
    let names = axes.names(
      lines.enumerated().map { ($0.element.name, "n\($0.offset % 8)", $0.element.points.last!.y) })
    return """
      <h3>\(title)</h3>
      \(axes.draw(
        xTicks: xs.map { ($0, xLabel($0)) },
        yTicks: (yTicks ?? Axes.ticks(upTo: most)).map { ($0, yLabel($0)) }, drawn + names))
      """
  }
}
