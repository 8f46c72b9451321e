// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Bench
import Foundation
import Glibc
import LinuxSystem

struct Report: CulvertCommand {
  static let configuration = CommandConfiguration(
    commandName: "report",
    abstract: "Draw a result of `culvert ab` or `culvert cost` again: as a table, a page or Markdown.",
    discussion:
      "Reads what `culvert ab --json` wrote, also of a run that was interrupted, and `culvert cost --json`.")

  @Argument(help: "The JSON that `culvert ab --json` or `culvert cost --json` wrote.")
  var file: String
  @OptionGroup var forms: ReportForms

  func execute() throws {
    let data: Data
    do { data = try Data(contentsOf: URL(fileURLWithPath: file)) } catch {
      throw Failure(
        "read", file, errno: .last, advice: "Give a file that --json of `culvert ab` or `cost` wrote.")
    }
    if let cost = try? CostReport.decoded(data), cost.schema == CostReport.schemaName {
      return try write(cost)
    }
    let report: ABReport
    do { report = try ABReport.decoded(data) } catch {
      throw Failure("read", file, advice: "It is no result of schema \(ABReport.schemaName).", status: .usage)
    }
    guard report.schema == ABReport.schemaName else {
      throw Failure(
        "read", file, advice: "Its schema is \(report.schema); this version reads \(ABReport.schemaName).",
        status: .usage)
    }
    try forms.write(report)
    if forms.isEmpty { Terminal.table(report) }
  }

  private func write(_ cost: CostReport) throws {
    if let markdown = forms.markdown {
      throw Failure("write", markdown, advice: "Results of `culvert cost` have no Markdown.", status: .usage)
    }
    if let html = forms.html { return try Output.write(CostPage(cost).encoded(), to: html) }
    FileHandle.standardOutput.write(Data(CostText(cost).text.utf8))
  }
}

/// The forms of a report besides the table.
struct ReportForms: ParsableArguments {
  @Option(help: "Write the report there as one self-contained HTML page; - is standard output.")
  var html: String?
  @Option(help: "Write the report there as Markdown, for a pull request; - is standard output.")
  var markdown: String?

  var isEmpty: Bool { html == nil && markdown == nil }

  /// Throws where a file cannot be written, before it is too late to choose another.
  func check() throws {
    for path in [html, markdown].compactMap({ $0 }) where path != "-" { try Output.write(Data(), to: path) }
  }

  func write(_ report: ABReport) throws {
    if let html { try Output.write(ABPage(report).encoded(), to: html) }
    if let markdown { try Output.write(Data(ABMarkdown(report).text.utf8), to: markdown) }
  }
}

/// Where a form of a report goes.
enum Output {
  static func write(_ data: Data, to path: String) throws {
    if path == "-" { return FileHandle.standardOutput.write(data) }
    do { try data.write(to: URL(fileURLWithPath: path), options: .atomic) } catch {
      throw Failure("write", path, advice: "\(error.localizedDescription)")
    }
  }
}

extension Terminal {
  /// On standard output, coloured where that is a terminal and nobody objects.
  static func table(_ report: ABReport) {
    let objection = ProcessInfo.processInfo.environment["NO_COLOR"].map { !$0.isEmpty } ?? false
    let text = ABTable(report, coloured: isatty(1) == 1 && !objection).text
    FileHandle.standardOutput.write(Data(text.utf8))
  }
}
