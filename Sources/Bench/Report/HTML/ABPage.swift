// SPDX-License-Identifier: Apache-2.0
import Foundation

/// A report as one HTML page that needs nothing else: no script, no font, no network.
public struct ABPage {
  public var report: ABReport

  public init(_ report: ABReport) { self.report = report }

  var baseline: String { report.settings.baselineNetwork }
  var palette: Palette { Palette(networks: report.settings.networks, baseline: baseline) }
  var others: [String] {
    let networks = report.settings.networks.filter { network in
      network != baseline && report.results.contains { $0.network == network }
    }
    return networks.filter { $0.contains("+") } + networks.filter { !$0.contains("+") }
  }

  public func encoded() throws -> Data { Data(try html().utf8) }

  func html() throws -> String {
    let sections: [Markup] = [
      header, headline, WorkloadSections(page: self).markup,
      PageAppendix(page: self).markup(try report.encoded()),
    ]
    return Markup.page("Culvert: \(others.joined(separator: ", ")) against \(baseline)", sections).source
  }

  func key(_ network: String) -> Markup {
    "<span class=\"key \(palette.style(of: network))\"></span>\(report.title(of: network))"
  }

  // MARK: - The answer

  private var header: Markup {
    let environment = report.environment
    var machine = "\(environment.cpu), \(environment.cpus) CPUs, Linux \(environment.kernel)"
    if environment.virtualised { machine += ", virtualised" }
    let warnings: [Markup] = [
      environment.debugBuild ? "<p class=\"warn\">Debug build: these timings say little.</p>" : nil,
      report.unsettledNote.map { note -> Markup in "<p class=\"warn\">\(note)</p>" },
      report.complete ? nil : "<p class=\"warn\">Interrupted: what is missing was not measured.</p>",
    ].compactMap { $0 }
    let raw = report.rawFramesNote.map { note -> Markup in "<p class=\"soft\">\(note)</p>" }
    return """
      <header><h1>Culvert: \(others.joined(separator: ", ")) against \(baseline)</h1>\
      <p class="soft">\(machine). Baseline \(report.baselineWords); \(report.settings.repeats) pairs of \
      \(Quantity.number(report.settings.durationS)) s a row, interleaved; culvert \(environment.culvert).</p>\(raw)\(warnings)</header>

      """
  }

  private var headline: Markup {
    let rows = others.map { network -> Markup in
      let all = report.comparisons.filter { $0.a == network }
      let counts = report.outcomes(of: network).map { one -> Markup in
        let style =
          one.count == 0 ? "soft" : one.outcome == .better ? "good" : one.outcome == .worse ? "bad" : ""
        return "<td class=\"num \(style)\">\(one.count)</td>"
      }
      return """
        <tr><th scope="row">\(key(network))</th>\(counts)\
        <td class="num hide">\(extreme(all, best: true))</td><td class="num hide">\(extreme(all, best: false))</td></tr>

        """
    }
    let names = Outcome.allCases.map { "<th scope=\"col\" class=\"num\">\($0.rawValue)</th>" as Markup }
    return """
      <h2>In short</h2><div class="wide"><table class="lines"><caption>Rows in which a network is better or worse than \(baseline), by 95 % \
      intervals of ratios paired in time</caption><thead><tr><th scope="col">network</th>\(names)\
      <th scope="col" class="num hide">best row</th><th scope="col" class="num hide">weakest row</th></tr></thead><tbody>
      \(rows)</tbody></table></div>

      """
  }

  /// The row with the highest or lowest speed against the baseline.
  private func extreme(_ all: [ABReport.Comparison], best: Bool) -> Markup {
    func speed(_ one: ABReport.Comparison) -> Double { one.better == .higher ? one.ratio : 1 / one.ratio }
    guard let one = best ? all.max(by: { speed($0) < speed($1) }) : all.min(by: { speed($0) < speed($1) })
    else { return "–" }
    return "\(Quantity.number(one.ratio))× <span class=\"soft\">\(one.row.title) \(one.row.size) B</span>"
  }
}
