// SPDX-License-Identifier: Apache-2.0
import Foundation

/// A figure by message size, a line per network; sizes on a logarithmic scale.
struct SizeLines {
  var page: ABPage
  /// Of equal conditions but for the size, ascending.
  var rows: [Row]

  /// Rows that differ in nothing but their size, where there are at least three sizes.
  static func groups(of rows: [Row]) -> [[Row]] {
    var order: [Row] = []
    var groups: [Row: [Row]] = [:]
    for row in rows {
      var key = row
      key.size = 0
      if groups[key] == nil { order.append(key) }
      groups[key, default: []].append(row)
    }
    return order.map { groups[$0]!.sorted { $0.size < $1.size } }.filter { $0.count >= 3 }
  }

  var markup: Markup {
    let networks = page.others + [page.baseline]
    var lines: [(network: String, unit: String, points: [(Double, Double)])] = []
    for network in networks {
      let results = rows.compactMap { row in
        page.report.results.first { $0.row == row && $0.network == network && $0.median != nil }
      }
      guard results.count >= 2 else { continue }
      lines.append((network, results[0].unit, results.map { (log2(Double($0.size)), $0.median!) }))
    }
    guard let unit = lines.first?.unit else { return "" }
    let most = lines.flatMap(\.points).map(\.1).max() ?? 1
    var name = rows[0]
    name.size = 0
    let title = "\(name.title) by size"
    let axes = Axes(
      title: title, description: "\(rows[0].figure), by bytes; one line per network",
      x: log2(Double(rows.first!.size))...log2(Double(rows.last!.size)), y: 0...most)
    let drawn = lines.flatMap { axes.dottedCurve($0.points, page.palette.style(of: $0.network)) }
    let names = axes.names(lines.map { ($0.network, page.palette.style(of: $0.network), $0.points.last!.1) })
    return """
      <h3>By size: \(rows[0].conditions.split(separator: ", ").dropFirst().joined(separator: ", "))</h3>
      \(axes.draw(
        xTicks: rows.map { (log2(Double($0.size)), Quantity.bytes($0.size)) },
        yTicks: Axes.ticks(upTo: most).map { ($0, Quantity.tick(Quantity.text($0, unit: unit))) }, drawn + names))
      """
  }
}
