// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Bench
import FastPath
import Foundation
import Glibc
import LinuxSystem

struct Paper: CulvertCommand {
  static let configuration = CommandConfiguration(
    commandName: "paper",
    abstract: "Repeat a study of container networks here, and say which of its findings hold.",
    discussion: """
      "An Analysis and Empirical Study of Container Networks" (Suo, Zhao, Chen, Rao; INFOCOM 2018), on labs of its own, \
      with Culvert's tiers as further columns. A finding is a direction or a rank; it holds, does not hold or cannot be \
      told by 95 % intervals. The table goes to standard output. Nothing of the labs stays.

      \(PaperExperiment.all.map { "\($0.id.padded(7)) \($0.title)" }.joined(separator: "\n"))
      """)

  @Argument(
    help: "Those to repeat, as the paper numbers its figures and tables (default: all).",
    completion: .list(PaperExperiment.all.map(\.id)))
  var experiments: [String] = []
  @Flag(help: "Fewer sizes, networks and trials: at most 20 minutes.")
  var quick = false
  @Option(help: "Pairs of trials per comparison.")
  var repeats: Int?
  @Option(help: "Seconds that a trial counts.")
  var duration: Double?
  @Option(help: "Of the containers' interfaces and the wire: off, as the paper's NIC, on or both.")
  var offloads = "off"
  @Option(
    help:
      "Both ends on two CPUs or on one: two-core or one-core, which is steadier and less like two machines.")
  var placement = Placement.twoCore.rawValue
  @Option(help: "Write the result there as JSON, after each row and at the end.")
  var json: String?
  @OptionGroup var forms: ReportForms
  @Flag(help: "Keep the rows that are whole in the file of --json, and measure the others.")
  var resume = false

  func execute() throws {
    guard let placement = Placement(rawValue: placement) else {
      throw ValidationError("--placement \(placement) is not one of: two-core, one-core.")
    }
    let selection = try PaperSelection(
      experiments, isQuick: quick, offloads: try chosenOffloads(), placement: placement)
    let plan = try selection.plan(repeats: repeats, duration: duration)
    var report = PaperReport(
      ABReport(environment: .init(asShipped: false), settings: .init(plan, asShipped: false)))
    try takeUp(&report)
    if let json { try ResultFile.check(json) }
    try forms.check()
    if !plan.cells.isEmpty { try measure(plan, selection, &report) }
    report.draw(selection)
    try Terminal.table(report)
    if let json { try ResultFile.write(report.encoded(), to: json) }
    try forms.write(report)
    if report.measurements.results.contains(where: { $0.failed != nil }) || !report.complete {
      throw ExitCode(ExitStatus.failed.rawValue)
    }
  }

  private func measure(_ plan: Plan, _ selection: PaperSelection, _ report: inout PaperReport) throws {
    guard geteuid() == 0 else {
      throw Failure("measure", "networks", errno: .notPermitted, advice: "Run as root: it builds namespaces.")
    }
    Terminal.estimate(plan, report.measurements)
    let interruption = try Interruption()
    let arena = LabArena(
      LabArena.Settings(plan, asShipped: false),
      drivers: (Tier.allCases + [nil]).map { .fastPath($0, bypassPolicy: false) })
    let progress = LiveProgress()
    defer { progress.clear() }
    var campaign = Campaign(plan, on: arena)
    campaign.isInterrupted = { interruption.happened }
    campaign.onProgress = { progress.show($0) }
    if let json {
      // A disk that is full now may not be at the end, and the table needs none.
      campaign.onCell = { measurements in
        var soFar = PaperReport(measurements)
        soFar.draw(selection)
        try? ResultFile.write(soFar.encoded(), to: json, isQuiet: true)
      }
    }
    do {
      try campaign.run(&report.measurements)
    } catch {
      try? arena.close()
      throw error
    }
    try arena.close()
  }

  private func chosenOffloads() throws -> [Offloads] {
    switch offloads {
    case "both": return [.on, .off]
    case let word:
      guard let one = Offloads(rawValue: word) else {
        throw ValidationError("--offloads \(word) is not one of: off, on, both.")
      }
      return [one]
    }
  }

  /// --resume: what the file holds already.
  private func takeUp(_ report: inout PaperReport) throws(Failure) {
    guard resume else { return }
    guard let json else {
      throw Failure("resume", "without a file", advice: "Give --json FILE too.", status: .usage)
    }
    let origin = "`culvert paper --json`"
    let data = try ResultFile.read(json, of: "\(origin), or leave --resume out", status: .usage)
    guard let earlier = try? PaperReport.decoded(data), earlier.schema == PaperReport.schemaName else {
      throw ResultFile.misfit(data, json, of: origin, schemas: [PaperReport.schemaName])
    }
    try report.measurements.resume(earlier.measurements)
  }
}
