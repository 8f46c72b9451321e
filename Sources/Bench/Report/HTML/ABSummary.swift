// SPDX-License-Identifier: Apache-2.0

/// Every row and network at a glance: how many times as fast, and what was lost for it.
struct ABSummary {
  var page: ABPage
  private var report: ABReport { page.report }

  private var rows: [Row] {
    report.results.reduce(into: []) { rows, result in if !rows.contains(result.row) { rows.append(result.row) } }
  }

  var markup: Markup {
    let head = page.others.map { network -> Markup in "<th scope=\"col\">\(page.link(network))</th>" }
    let lines = rows.map { row -> Markup in
      """
      <tr><th scope="row">\(row.title) <span class="soft">\(row.conditions)</span></th>\
      \(page.others.map { cell(row, $0) })</tr>

      """
    }
    let raw: Markup? = report.rawFramesNote.map { "<p class=\"soft\">\($0)</p>" }
    let notes = [report.unsettledNote, report.modesNote].compactMap(\.self).map {
      note -> Markup in "<p class=\"soft\">\(note)</p>"
    }
    return """
      <section><h2>In short</h2><p class="soft">How many times as fast as \(page.baseline), in every row: more is better, also of latency. \
      <span class="good">Better</span> and <span class="bad">worse</span> only where the 95 % interval of the paired ratios leaves out 1 and is not \
      within the noise floor.</p>\(raw)
      <table class="heat"><thead><tr><th scope="col">row</th>\(head)</tr></thead><tbody>
      \(lines)</tbody></table>\(notes)</section>

      """
  }

  private func cell(_ row: Row, _ network: String) -> Markup {
    // On a phone the cell has no column above it.
    func of(_ style: String, _ content: Markup) -> Markup {
      "<td class=\"\(style)\"><span class=\"of\">\(report.title(of: network)) </span>\(content)</td>"
    }
    guard let result = report.results.first(where: { $0.network == network && $0.row == row }) else {
      return of("soft none", "–")
    }
    if result.failed != nil { return of("isbad", "failed") }
    if result.skipped != nil { return of("soft", "skipped") }
    guard let one = report.comparisons.first(where: { $0.a == network && $0.row == row }) else {
      return of("soft", "no pair")
    }
    let style =
      switch one.outcome {
      case .better: "isgood"
      case .worse: "isbad"
      case .noDifference: ""
      case .tooFewPairs: "soft"
      }
    let marks = ABSummary.marks(result).map { mark -> Markup in "<span class=\"lost\">\(mark)</span>" }
    return of(style, "<b>\(one.unsettledPairs == nil ? "" : "~")\(Quantity.number(one.speedRatio))×</b>\(marks)")
  }

  /// What no figure may be read without, as short as can be.
  private static func marks(_ result: ABReport.Result) -> [String] {
    let lost = result.isLossTold ? result.lostFraction ?? 0 : 0
    return [lost >= 0.001 ? "lost \(Quantity.percent(lost))" : nil, result.modes == nil ? nil : "two modes"]
      .compactMap(\.self)
  }
}
