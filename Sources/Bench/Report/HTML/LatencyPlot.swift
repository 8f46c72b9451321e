// SPDX-License-Identifier: Apache-2.0
import Foundation

/// Round trips by percentile, the tail drawn out: each step to the right is one in ten of what is left.
struct LatencyPlot {
  var page: ABPage
  var row: Row

  private static let marks: [(percentile: Double, label: String)] = [
    (50, "50 %"), (90, "90 %"), (99, "99 %"), (99.9, "99.9 %"), (99.99, "99.99 %"),
  ]

  /// 0 at 0 %, 1 at 90 %, 2 at 99 % …; nothing beyond 99.99 %.
  private func place(_ percentile: Double) -> Double { -log10(max(1e-4, 1 - percentile / 100)) }

  private func points(_ result: ABReport.Result) -> [(Double, Double)] {
    if let distribution = result.latencyDistribution, distribution.count > 1 {
      return distribution.filter { $0.count == 2 && $0[0] <= 99.99 }.map { (place($0[0]), $0[1]) }
    }
    let known: [(String, Double)] = [("p50", 50), ("p90", 90), ("p99", 99), ("p99.9", 99.9)]
    return known.compactMap { name, percentile in
      result.latencyUs?[name].map { (place(percentile), $0) }
    }
  }

  var markup: Markup? {
    let networks = page.others + [page.baseline]
    let lines = networks.compactMap { network -> (network: String, points: [(Double, Double)])? in
      guard let result = page.report.results.first(where: { $0.row == row && $0.network == network })
      else { return nil }
      let points = points(result)
      return points.count > 1 ? (network, points) : nil
    }
    guard !lines.isEmpty else { return nil }
    // The last per mille may be hundreds of times the rest: the scale is logarithmic.
    let values = lines.flatMap(\.points).map(\.1).filter { $0 > 0 }
    let low = floor(log2(values.min() ?? 1))
    let high = ceil(log2(values.max() ?? 2))
    let last = lines.flatMap(\.points).map(\.0).max() ?? 4
    let axes = Axes(
      title: "\(row.title), distribution",
      description: "Round trips in microseconds by percentile, a line per network",
      x: 0...last, y: low...max(high, low + 1))
    let scaled = lines.map { line in
      (line.network, line.points.filter { $0.1 > 0 }.map { ($0.0, log2($0.1)) })
    }
    let step = max(1, Int(((high - low) / 6).rounded(.up)))
    let ticks = stride(from: Int(low), through: Int(high), by: step).map {
      (Double($0), Quantity.text(pow(2, Double($0)), unit: "us"))
    }
    let names = axes.names(scaled.map { ($0.0, page.palette.style(of: $0.0), $0.1.last?.1 ?? 0) })
    return """
      <h3>Distribution: \(row.conditions)</h3>
      \(axes.draw(
        xTicks: Self.marks.map { (place($0.percentile), $0.label) }.filter { $0.0 <= last + 0.01 },
        yTicks: ticks,
        scaled.map { axes.curve($0.1, page.palette.style(of: $0.0)) } + names))
      """
  }
}
