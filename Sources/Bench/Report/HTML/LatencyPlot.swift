// SPDX-License-Identifier: Apache-2.0

/// The round trips of a row by percentile, a line per network.
struct LatencyPlot {
  var page: ABPage
  var row: Row

  private func points(_ result: ABReport.Result) -> [(percentile: Double, us: Double)] {
    if let distribution = result.latencyDistribution, distribution.count > 1 {
      return distribution.filter { $0.count == 2 }.map { ($0[0], $0[1]) }
    }
    let known: [(String, Double)] = [("p50", 50), ("p90", 90), ("p99", 99), ("p99.9", 99.9)]
    return known.compactMap { name, percentile in result.latencyUs?[name].map { (percentile, $0) } }
  }

  var markup: Markup? {
    let lines = (page.others + [page.baseline]).compactMap { network -> PercentilePlot.Line? in
      page.report.results.first { $0.row == row && $0.network == network }.map {
        PercentilePlot.Line(name: network, style: page.palette.style(of: network), points: points($0))
      }
    }
    let plot = PercentilePlot(
      title: "\(row.title), distribution",
      description: "Round trips in microseconds by percentile, a line per network", lines: lines)
    return plot.markup.map { "<h3>Distribution: \(row.conditions)</h3>\n\($0)" }
  }
}
