// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Bench
import Foundation
import Glibc
import LinuxSystem

struct Report: CulvertCommand {
  static let configuration = CommandConfiguration(
    commandName: "report",
    abstract: "Draw a result of `culvert ab`, `paper` or `cost` again: as a table, a page or Markdown.",
    discussion: """
      Reads what `culvert ab --json` or `culvert paper --json` wrote, also of a run that was interrupted, \
      `culvert cost --json` and `culvert cost table --json`.
      """)

  @Argument(help: "The JSON that one of them wrote; - is standard input.")
  var file: String
  @OptionGroup var forms: ReportForms

  func execute() throws {
    let data = try ResultFile.read(file, of: Self.origin)
    if let cost = try? CostReport.decoded(data), cost.schema == CostReport.schemaName {
      try forms.write(cost)
      if forms.isEmpty { try StandardStream.result(CostText(cost).text) }
      return
    }
    if let table = try? TableCost.Result.decoded(data), table.schema == TableCost.Result.schemaName {
      try forms.write(table)
      if forms.isEmpty { try Terminal.result(table.text) }
      return
    }
    if let paper = try? PaperReport.decoded(data), paper.schema == PaperReport.schemaName {
      try forms.write(paper)
      if forms.isEmpty { try Terminal.table(paper) }
      return
    }
    guard let report = try? ABReport.decoded(data), report.schema == ABReport.schemaName else {
      throw ResultFile.misfit(
        data, file, of: Self.origin,
        schemas: [
          ABReport.schemaName, CostReport.schemaName, TableCost.Result.schemaName, PaperReport.schemaName,
        ])
    }
    try forms.write(report)
    if forms.isEmpty { try Terminal.table(report) }
  }

  private static let origin = "--json of `culvert ab`, `paper`, `cost` or `cost table`"
}

/// The forms of a report besides the table.
struct ReportForms: ParsableArguments {
  @Option(help: "Write the report there as one self-contained HTML page; - is standard output.")
  var html: String?
  @Option(
    help: "Write the report there as Markdown, for a pull request; - is standard output.")
  var markdown: String?

  var isEmpty: Bool { html == nil && markdown == nil }

  /// Throws where a file cannot be written, before it is too late to choose another.
  func check() throws {
    for path in [html, markdown].compactMap({ $0 }) { try ResultFile.check(path) }
  }

  func write(_ report: ABReport) throws {
    try write(html: ABPage(report).encoded, markdown: ABMarkdown(report).text)
  }
  func write(_ report: PaperReport) throws {
    try write(html: PaperPage(report).encoded, markdown: PaperMarkdown(report).text)
  }
  func write(_ report: CostReport) throws {
    try write(html: CostPage(report).encoded, markdown: CostMarkdown(report).text)
  }
  func write(_ result: TableCost.Result) throws {
    try write(html: TableCostPage(result).encoded, markdown: TableCostMarkdown(result).text)
  }

  private func write(html page: () throws -> Data, markdown text: @autoclosure () -> String) throws {
    if let html { try ResultFile.write(page(), to: html) }
    if let markdown { try ResultFile.write(Data(text().utf8), to: markdown) }
  }
}

extension Terminal {
  /// On standard output, coloured where that is a terminal and nobody objects.
  static func table(_ report: ABReport) throws(Failure) {
    try StandardStream.result(ABTable(report, coloured: isColoured, width: columns ?? ABTable.width).text)
  }

  static func table(_ report: PaperReport) throws(Failure) {
    try StandardStream.result(PaperTable(report, coloured: isColoured).text)
  }
}
