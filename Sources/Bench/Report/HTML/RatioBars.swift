// SPDX-License-Identifier: Apache-2.0

/// One row: each network's ratio to the baseline as a bar, its interval, the line at 1, and the figure itself. A rate's
/// bar begins at nothing; a latency's at 1, to the left where it is shorter, so that no bar is long for being slow.
struct RatioBars {
  var page: ABPage
  var row: Row

  private var results: [ABReport.Result] {
    let all = page.report.results.filter { $0.row == row }
    let order = page.others + [page.baseline]
    return all.sorted { (order.firstIndex(of: $0.network) ?? 99) < (order.firstIndex(of: $1.network) ?? 99) }
  }

  private func comparison(_ network: String) -> ABReport.Comparison? {
    page.report.comparisons.first { $0.a == network && $0.row == row }
  }

  private var largest: Double {
    let ratios = page.report.comparisons.filter { $0.row == row }.flatMap { [$0.ratio] + $0.ci95 }
    return max(1, ratios.max() ?? 1) * 1.04
  }

  var markup: Markup {
    let against = row.isLatency ? "← shorter than \(page.baseline)'s · longer →" : "against \(page.baseline)"
    return """
      <h3>\(row.conditions)</h3><table class="bars"><thead class="hide"><tr><th scope="col">network</th>\
      <th scope="col">\(against)</th><th scope="col" class="num head">ratio, verdict, median</th></tr></thead><tbody>
      \(results.map(line))</tbody></table>

      """
  }

  private func line(_ result: ABReport.Result) -> Markup {
    if let reason = result.skipped ?? result.failed {
      let word = result.failed == nil ? "skipped" : "failed"
      return """
        <tr><th scope="row">\(page.key(result.network))</th><td class="graph soft" colspan="2">\(word): \(reason)</td></tr>

        """
    }
    let median = result.median.map { Quantity.text($0, unit: result.unit) } ?? "–"
    let isBaseline = result.network == page.baseline
    guard let one = comparison(result.network) else {
      let width = isBaseline && !row.isLatency ? 100 / largest : 0
      return """
        <tr><th scope="row">\(page.key(result.network))</th><td class="graph">\(track(result.network, 0, width, nil))</td>\
        <td class="num value">\(isBaseline ? "1" : "no pair") <span class="soft">\(median)</span></td></tr>\(beside(result))

        """
    }
    let (style, word) =
      switch one.outcome {
      case .better: ("good", "better")
      case .worse: ("bad", "worse")
      case .noDifference: ("soft", "no diff")
      case .tooFewPairs: ("soft", "too few pairs")
      }
    let low = one.ci95.first ?? one.ratio
    let high = one.ci95.last ?? one.ratio
    let start = row.isLatency ? min(1, one.ratio) : 0
    let width = row.isLatency ? abs(one.ratio - 1) : one.ratio
    return """
      <tr><th scope="row">\(page.key(result.network))</th>\
      <td class="graph">\(track(result.network, 100 * start / largest, 100 * width / largest, (100 * low / largest, 100 * high / largest)))</td>\
      <td class="num value" title="95 % interval \(one.intervalText), \(one.pairs) pairs: \(one.outcome.rawValue)">\
      <b>\(one.ratioText)</b> <span class="\(style)">\(word)</span> <span class="soft">\(median)</span></td></tr>\(beside(result))

      """
  }

  /// Losses and retransmissions stand under the bar that they qualify.
  private func beside(_ result: ABReport.Result) -> Markup? {
    let words = page.report.qualifiers(of: result).joined(separator: "; ")
    guard !words.isEmpty else { return nil }
    return "<tr class=\"beside\"><th></th><td class=\"graph soft\" colspan=\"2\">\(words)</td></tr>"
  }

  private func track(_ network: String, _ start: Double, _ width: Double, _ span: (Double, Double)?) -> Markup {
    RatioTrack(style: page.palette.style(of: network), start: start, width: width, span: span, one: 100 / largest)
      .markup
  }
}

/// A bar with its interval and the line at 1, in percent of the room that there is.
struct RatioTrack {
  var style: String
  var start = 0.0
  var width: Double
  var span: (Double, Double)?
  /// nil: 1 means nothing here.
  var one: Double?
  /// Another's value.
  var mark: Double?

  var markup: Markup {
    let interval: Markup? = span.map {
      "<span class=\"span\" style=\"left:\($0.0)%;width:\(max(0.4, $0.1 - $0.0))%\"></span>"
    }
    let other: Markup? = mark.map { "<span class=\"mark\" style=\"left:\($0)%\"></span>" }
    let line: Markup? = one.map { "<span class=\"one\" style=\"left:\($0)%\"></span>" }
    return """
      <div class="track"><span class="bar \(style)" style="left:\(start)%;width:\(width)%"></span>\(interval)\(line)\(other)</div>
      """
  }
}
