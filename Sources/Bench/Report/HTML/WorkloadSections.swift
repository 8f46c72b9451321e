// SPDX-License-Identifier: Apache-2.0

/// One section per workload and figure: bars with intervals, and lines where it was measured at several sizes.
struct WorkloadSections {
  var page: ABPage
  private var report: ABReport { page.report }

  private struct Kind: Hashable {
    var title: String
    var metric: String
  }

  var markup: Markup {
    var order: [Kind] = []
    var rows: [Kind: [Row]] = [:]
    for result in report.results {
      let kind = Kind(title: result.row.title, metric: result.metric)
      if rows[kind] == nil { order.append(kind) }
      if rows[kind]?.contains(result.row) != true { rows[kind, default: []].append(result.row) }
    }
    return "\(order.map { section($0, rows[$0]!) })"
  }

  private func section(_ kind: Kind, _ rows: [Row]) -> Markup {
    let bars = rows.map { RatioBars(page: page, row: $0).markup }
    let sizes = SizeLines.groups(of: rows).map { SizeLines(page: page, rows: $0).markup }
    let latencies = rows.filter(\.isLatency).compactMap { LatencyPlot(page: page, row: $0).markup }
    return """
      <section><h2>\(kind.title)</h2><p class="soft">\(rows[0].figure)\(rows[0].isLatency ? ": a bar to the left of the line is a shorter time" : "")</p>
      \(bars)\(sizes)\(latencies)</section>

      """
  }
}
