// SPDX-License-Identifier: Apache-2.0
import Foundation

/// A report as one HTML page that needs nothing else: no script, no font, no network.
public struct ABPage {
  public var report: ABReport

  public init(_ report: ABReport) { self.report = report }

  var baseline: String { report.settings.baselineNetwork }
  var palette: Palette { Palette(networks: report.settings.networks, baseline: baseline) }
  /// What is on trial first, the kernel's other networks after it.
  var others: [String] { report.others }

  public func encoded() throws -> Data { Data(try html().utf8) }

  func html() throws -> String {
    let sections: [Markup] = [
      header, ABSummary(page: self).markup, WorkloadSections(page: self).markup, networks,
      PageAppendix(page: self).markup(try report.encoded()),
    ]
    return Markup.page("Culvert: \(report.sentence)", sections).source
  }

  func key(_ network: String) -> Markup { .key(report.title(of: network), palette.style(of: network)) }

  /// Its name leads to what it is.
  func link(_ network: String) -> Markup {
    "<a href=\"#\(Self.anchor(network))\">\(Markup.key(network, palette.style(of: network)))</a>"
  }

  private static func anchor(_ network: String) -> String {
    "network-" + String(network.map { $0.isLetter || $0.isNumber ? $0 : "-" })
  }

  // MARK: - The answer, and of what

  private var header: Markup {
    let environment = report.environment
    var machine = "\(environment.cpu), \(environment.cpus) CPUs, Linux \(environment.kernel)"
    if environment.virtualised { machine += ", virtualised" }
    return .header(
      report.sentence,
      """
      \(machine). \(link(baseline)) is \(report.baselineWords); \(report.settings.repeats) pairs of \
      \(Quantity.number(report.settings.durationS)) s a row, interleaved; culvert \(environment.culvert).
      """,
      warnings: [
        environment.debugBuild ? Markup.debugWarning : nil,
        report.complete ? nil : Markup.interruptedWarning,
      ])
  }

  private var networks: Markup {
    .glossary(
      "The networks", id: "networks",
      (others + [baseline]).map { name in
        let parts = name.split(separator: "+", maxSplits: 1).map(String.init)
        let network = Network(base: parts[0], tier: parts.count > 1 ? parts[1] : nil)
        return (Self.anchor(name), key(name), "\(network.explanation)")
      })
  }
}
