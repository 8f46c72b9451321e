// SPDX-License-Identifier: Apache-2.0
import Foundation

extension TableCost.Result {
  fileprivate var kinds: [(name: String, samples: [Double])] {
    [("moved", changeToMap), ("inserted", insertToMap), ("deleted", deleteToMap)]
  }

  /// In a sentence.
  var sentence: String {
    let (half, most) = (Self.percentile(changeToMap, 0.5), Self.percentile(changeToMap, 0.99))
    guard half.isFinite, most.isFinite else { return "No change of the kernel's FDB was seen in the BPF map" }
    return "A change of the kernel's FDB is in the BPF map after \(Quantity.text(half, unit: "us")), "
      + "99 of 100 within \(Quantity.text(most, unit: "us")), among \(Quantity.count(entries)) entries"
  }

  /// What changed, and its p50, p99 and max.
  fileprivate var lines: [[String]] {
    kinds.map { kind in
      [kind.name] + [0.5, 0.99, 1].map { fraction in
        let value = Self.percentile(kind.samples, fraction)
        return value.isFinite ? Quantity.text(value, unit: "us") : "–"
      }
    }
  }

  fileprivate var remarks: [String] {
    ["\(missed) of \(3 * changeToMap.count + missed) were not seen within a second."].filter { _ in missed > 0 } + [
      "At the start \(entries) entries take \(Quantity.text(start * 1e6, unit: "us")) to dump, resolve and write; an entry has "
        + "\(Quantity.number(bytesPerEntry)) bytes of kernel memory."
    ]
  }

  fileprivate static let head = ["change", "p50", "p99", "max"]
}

/// How fast the table follows the kernel's, as one HTML page.
public struct TableCostPage {
  private let result: TableCost.Result
  public init(_ result: TableCost.Result) { self.result = result }

  public func encoded() throws -> Data {
    let plot = PercentilePlot(
      title: "From the request to the map, by percentile", description: "Microseconds; a line per kind of change",
      lines: result.kinds.enumerated().map { index, kind in
        let percentiles = stride(from: 0.0, through: 90, by: 5) + [95, 97.5, 99, 99.5, 99.9, 99.99]
        return PercentilePlot.Line(
          name: kind.name, style: "n\(index)",
          points: kind.samples.isEmpty ? [] : percentiles.map { ($0, TableCost.Result.percentile(kind.samples, max($0, 0.01) / 100)) })
      })
    let rows = result.lines.map { line in line.map { text -> Markup in "\(text)" } }
    let notes = result.remarks.map { text -> Markup in "<p>\(text)</p>" }
    let sections: [Markup] = [
      .header(
        result.sentence,
        "From before the request to the kernel until the map has it: an address that moves to another VTEP, a new one, one that goes.",
        warnings: []),
      "<section><h2>From the kernel's FDB to the BPF map</h2>\(Markup.table("", TableCost.Result.head, rows))\(plot.markup)\(notes)</section>",
      "<section><h2>Raw</h2>\(Markup.download(try result.encoded(), as: "culvert-cost-table.json", schema: result.schema))</section>",
    ]
    return Data(Markup.page("Culvert: \(result.sentence)", sections).source.utf8)
  }
}

/// The same as GitHub-flavoured Markdown.
public struct TableCostMarkdown {
  private let result: TableCost.Result
  public init(_ result: TableCost.Result) { self.result = result }

  public var text: String {
    let rows = [TableCost.Result.head, ["---"] + [String](repeating: "--:", count: 3)] + result.lines
    return (["### \(result.sentence)", ""] + rows.map { "| \($0.joined(separator: " | ")) |" } + [""] + result.remarks)
      .joined(separator: "\n") + "\n"
  }
}
