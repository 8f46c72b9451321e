// SPDX-License-Identifier: Apache-2.0
import Foundation

/// Times by percentile, the tail drawn out: each step to the right is one in ten of what is left.
struct PercentilePlot {
  struct Line {
    var name: String
    var style: String
    /// Percentile and microseconds, ascending.
    var points: [(percentile: Double, us: Double)]
  }
  var title: String
  var description: String
  var lines: [Line]

  private static let marks: [(percentile: Double, label: String)] = [
    (50, "50 %"), (90, "90 %"), (99, "99 %"), (99.9, "99.9 %"), (99.99, "99.99 %"),
  ]

  /// 0 at 0 %, 1 at 90 %, 2 at 99 % …; nothing beyond 99.99 %.
  private static func place(_ percentile: Double) -> Double { -log10(max(1e-4, 1 - percentile / 100)) }

  /// nil where there is nothing to draw.
  var markup: Markup? {
    // The last per mille may be hundreds of times the rest: the scale is logarithmic.
    let drawn = lines.map { line in
      (
        line: line,
        points: line.points.filter { $0.percentile <= 99.99 && $0.us > 0 }.map {
          (Self.place($0.percentile), log2($0.us))
        }
      )
    }.filter { $0.points.count > 1 }
    let values = drawn.flatMap(\.points).map(\.1)
    guard let least = values.min(), let most = values.max() else { return nil }
    let ticks = Axes.logTicks(pow(2, least), pow(2, most))
    let last = drawn.flatMap(\.points).map(\.0).max() ?? 4
    let axes = Axes(
      title: title, description: description, x: 0...last, y: log2(ticks.first!)...log2(ticks.last!))
    let names = axes.names(drawn.map { ($0.line.name, $0.line.style, $0.points.last!.1) }, at: drawn.map { $0.points.last!.0 })
    return axes.draw(
      xTicks: Self.marks.map { (Self.place($0.percentile), $0.label) }.filter { $0.0 <= last + 0.01 },
      yTicks: ticks.map { (log2($0), Quantity.tick(Quantity.text($0, unit: "us"))) },
      drawn.map { axes.curve($0.points, $0.line.style) } + names)
  }
}
