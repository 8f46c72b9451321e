// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Bench
import Foundation
import Glibc
import LinuxSystem

struct Cost: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "What a packet costs, step by step.",
    discussion: """
      Without a subcommand it measures the ladder, with all of its options (`culvert help cost ladder`), as in
      `culvert cost --parts bpf,swift --quick --json new.json --compare old.json --fail-above 20`.
      """,
    subcommands: [CostLadder.self, CostTable.self, CostStep.self],
    defaultSubcommand: CostLadder.self)
}

extension CostReport.Part: ExpressibleByArgument {}

struct CostLadder: CulvertCommand {
  static let configuration = CommandConfiguration(
    commandName: "ladder",
    abstract: "Nanoseconds per packet of every step of the tiers, each beside the step below it.",
    discussion: """
      bpf: the programs of tier xdp, by BPF_PROG_TEST_RUN. swift: the forwarder of tier afxdp over bursts in memory, \
      each step beside the same in C. path: a whole host at the highest rate that it takes, in namespaces of its own.
      """)

  @Option(
    help: "Comma-separated: bpf, swift, path (default: all; with --against bpf,swift).",
    completion: .list(["bpf", "swift", "path"]))
  var parts: String?
  @Option(help: "Comma-separated numbers of entries in the forwarding table (part bpf).")
  var entries = "1,1000,100000,1000000"
  @Option(help: "Samples of each step.")
  var rounds: Int?
  @Flag(help: "Fewer rounds; part path without loss-free rates, delays and CPU time.")
  var quick = false
  @Option(
    help: "Comma-separated: of part path, only these and vxlan, with which all are compared.",
    completion: .list(CostPath.names))
  var networks: String?
  @Option(help: "Measure another forwarder beside the tiers (part path): testpmd, of DPDK, where installed.")
  var peer: String?
  @Option(help: "Write the result there as JSON.")
  var json: String?
  @OptionGroup var forms: ReportForms
  @Option(help: "Say which steps got slower or faster since this result of `culvert cost --json`.")
  var compare: String?
  @Option(
    help: ArgumentHelp(
      "Compare with another build, by turns: the executable of an older culvert.",
      discussion:
        "Runs both alternately (A B B A), so that the machine is in both, and says what each differs from itself by. Smaller differences can be told than with --compare.",
      valueName: "path"))
  var against: String?
  @Option(help: "With --against: how many times A B B A.")
  var blocks = CostAgainst.usualBlocks
  @Option(
    help:
      "With --compare or --against: exit with status 2 if a step got slower by more than so many percent, interval and all."
  )
  var failAbove: Double?

  func validate() throws {
    if let rounds, rounds < 1 { throw ValidationError("--rounds must be positive.") }
    if let peer, peer != "testpmd" { throw ValidationError("--peer \(peer): testpmd is the one there is.") }
    if failAbove != nil && compare == nil && against == nil {
      throw ValidationError("--fail-above needs --compare OLD.json or --against PATH.")
    }
    if blocks < 1 { throw ValidationError("--blocks must be positive.") }
    if against != nil && (compare != nil || json != nil || !forms.isEmpty) {
      throw ValidationError("--against compares two builds and has no --compare, --json, --html or --markdown.")
    }
    if !chosenParts.split(separator: ",").contains("path") {
      for (option, value) in [("--peer", peer), ("--networks", networks)] where value != nil {
        throw ValidationError("\(option) needs part path.")
      }
    }
    if let failAbove, failAbove < 0 { throw ValidationError("--fail-above must not be negative.") }
  }

  private var chosenParts: String { parts ?? (against == nil ? "bpf,swift,path" : "bpf,swift") }

  private func partList() throws(Failure) -> [CostReport.Part] {
    var list: [CostReport.Part] = []
    for name in chosenParts.split(separator: ",") {
      guard let part = CostReport.Part(rawValue: String(name)) else {
        let known = CostReport.Part.allCases.map(\.rawValue).joined(separator: ", ")
        throw Failure("measure part", String(name), advice: "Choose from \(known).", status: .usage)
      }
      list.append(part)
    }
    guard !list.isEmpty else { throw Failure("measure", "no part", status: .usage) }
    return list
  }

  private func networkList() throws(Failure) -> [String]? {
    guard let names = networks?.split(separator: ",").map(String.init) else { return nil }
    if let unknown = names.first(where: { !CostPath.names.contains($0) }) {
      throw Failure(
        "measure network", unknown, advice: "Choose from \(CostPath.names.joined(separator: ", ")).",
        status: .usage)
    }
    return names
  }

  private func tableList() throws(Failure) -> [UInt32] {
    var list: [UInt32] = []
    for text in entries.split(separator: ",") {
      guard let count = UInt32(text), (1...10_000_000).contains(count) else {
        throw Failure(
          "fill a table with", "\(text) entries", advice: "Give 1 to 10000000, separated by commas.",
          status: .usage)
      }
      list.append(count)
    }
    return list
  }

  private static func read(_ path: String) throws -> CostReport {
    let data = try ResultFile.read(path, of: "`culvert cost --json`")
    guard let report = try? CostReport.decoded(data), report.schema == CostReport.schemaName else {
      throw ResultFile.misfit(data, path, of: "`culvert cost --json`", schemas: [CostReport.schemaName])
    }
    return report
  }

  func execute() throws {
    let older = try compare.map(Self.read)
    var path = CostPath(isQuick: quick)
    path.withTestPMD = peer != nil
    path.only = try networkList()
    var suite = CostSuite(
      parts: try partList(), rounds: rounds ?? (quick ? 9 : 25), path: path, tables: try tableList())
    if peer != nil, let reason = CostPath.reasonWithoutTestPMD {
      throw Failure("measure beside", "testpmd", advice: reason, status: .unavailable)
    }
    guard geteuid() == 0 else {
      throw Failure(
        "measure", "steps", errno: .notPermitted,
        advice: "Run as root: it loads BPF programs into a namespace.")
    }
    if let json { try ResultFile.check(json) }
    try forms.check()
    let interruption = try Interruption()
    if let against { return try compare(with: against, interruption) }
    suite.isInterrupted = { interruption.happened }
    let report: CostReport
    do { report = try suite.run(LiveProgress()) } catch is CostSuite.Interrupted {
      throw Failure("measure", "steps", errno: .interrupted, advice: "Nothing was written.")
    }
    if let json { try ResultFile.write(report.encoded(), to: json) }
    try forms.write(report)
    try StandardStream.result(CostText(report).text)
    if let older { try compare(older, report) }
    if report.failures != nil { throw ExitCode(ExitStatus.failed.rawValue) }
  }

  private func compare(with other: String, _ interruption: Interruption) throws {
    var arguments = ["--parts", chosenParts, "--entries", entries, "--rounds", "\(rounds ?? 5)"]
    if quick { arguments.append("--quick") }
    if let networks { arguments += ["--networks", networks] }
    if let peer { arguments += ["--peer", peer] }
    var builds = CostAgainst(other: other, own: "/proc/self/exe", arguments: arguments, blocks: blocks)
    builds.isInterrupted = { interruption.happened }
    let done: [CostAgainst.Block]
    do { done = try builds.run(LiveProgress()) } catch is CostSuite.Interrupted {
      throw Failure("measure", "two builds", errno: .interrupted, advice: "Nothing was compared.")
    }
    try tell(CostComparison(done))
  }

  private func compare(_ older: CostReport, _ report: CostReport) throws {
    try tell(CostComparison(older, report))
  }

  private func tell(_ comparison: CostComparison) throws {
    try StandardStream.result("\n\(comparison.text)")
    let misses =
      failAbove.map { limit in comparison.lines.filter { $0.exceeds(limit, drift: comparison.drift) } } ?? []
    for miss in misses { Terminal.note("above --fail-above: \(miss.name)") }
    if !misses.isEmpty { throw ExitCode(ExitStatus.missedThreshold.rawValue) }
  }
}
