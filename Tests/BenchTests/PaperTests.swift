// SPDX-License-Identifier: Apache-2.0
import FastPath
import Foundation
import LinuxSystem
import TestSupport
import Testing
import Traffic

@testable import Bench

/// A result of rows in which each network has so many times the baseline's figure, by pairs that spread that far.
struct FabricatedResult {
  var report: ABReport

  init(_ baseline: String, _ networks: [String]) {
    report = .sample()
    report.settings.baselineNetwork = baseline
    report.settings.networks = [baseline] + networks
    report.complete = true
  }

  /// - Parameter ratios: of the metric to the baseline's; `spread` 0.1 is up to a tenth more and less.
  mutating func add(
    _ cell: Cell, _ ratios: KeyValuePairs<String, Double>, spread: Double = 0.01, pairs: Int = 9
  ) {
    var seen = Observations(cell: cell)
    let baseline = Network(known: report.settings.baselineNetwork)
    let steps = (0..<pairs).map { 1 + spread * (2 * Double($0) / Double(max(1, pairs - 1)) - 1) }
    seen.samples[baseline] = steps.map { _ in Sample(value: 1000) }
    seen.pairs[baseline] = steps.map { (1000 * (1 + ($0 - 1) / 10), 1000) }
    for (name, ratio) in ratios {
      seen.samples[Network(known: name)] = steps.map { Sample(value: 1000 * ratio * $0) }
      seen.pairs[Network(known: name)] = steps.map { (1000 * ratio * $0, 1000) }
    }
    for name in [baseline.description] + ratios.map(\.key) {
      let network = Network(known: name)
      report.results.append(seen.result(of: network, tier: nil))
      if network != baseline { report.comparisons.append(seen.comparison(of: network, with: baseline)!) }
    }
  }
}

struct PaperTests {
  private static func stream(_ size: Int, _ span: Span = .twoHosts) -> Cell {
    Cell(measure: .tcpStream, size: size, offloads: .off, placement: .twoCore, span: span)
  }

  private func judge(_ claim: PaperFinding.Claim, _ result: FabricatedResult, _ measure: Measure = .tcpStream)
    -> FindingOutcome
  {
    var rows: [Row] = []
    for row in result.report.results.map(\.row) where !rows.contains(row) { rows.append(row) }
    return FindingJudge(report: result.report, baseline: "bare")
      .judge(PaperFinding("", claim, measure), rows: rows).outcome
  }

  @Test func aDirectionIsJudgedByTheIntervalAndNotByTheMedian() {
    func one(_ ratio: Double, _ spread: Double, pairs: Int = 9) -> FabricatedResult {
      var result = FabricatedResult("bare", ["nat"])
      result.add(Self.stream(256), ["nat": ratio], spread: spread, pairs: pairs)
      return result
    }
    #expect(judge(.slower(["nat"], than: "bare"), one(0.6, 0.05)) == .holds)
    #expect(judge(.slower(["nat"], than: "bare"), one(1.6, 0.05)) == .doesNotHold)
    // As fast is not slower.
    #expect(judge(.slower(["nat"], than: "bare"), one(1.0, 0.02)) == .doesNotHold)
    // The median is far from 1, its interval is not.
    #expect(judge(.slower(["nat"], than: "bare"), one(0.7, 0.9)) == .cannotBeTold)
    #expect(judge(.slower(["nat"], than: "bare"), one(0.6, 0.01, pairs: 5)) == .cannotBeTold)
    #expect(judge(.alike(["nat"], to: "bare"), one(1.02, 0.02)) == .holds)
    #expect(judge(.alike(["nat"], to: "bare"), one(0.6, 0.02)) == .doesNotHold)
    #expect(judge(.alike(["nat"], to: "bare"), one(1.0, 0.5)) == .cannotBeTold)
    #expect(judge(.slower(["vxlan"], than: "bare"), one(0.6, 0.05)) == .cannotBeTold)
    #expect(judge(.lacks("no such network"), one(0.6, 0.05)) == .cannotBeTold)
  }

  @Test func slowerIsMoreOfATime() {
    var result = FabricatedResult("bare", ["vxlan"])
    result.add(Cell(measure: .tcpRoundTrip, size: 16, offloads: .off, placement: .twoCore), ["vxlan": 1.5])
    #expect(judge(.slower(["vxlan"], than: "bare"), result, .tcpRoundTrip) == .holds)
  }

  @Test func aRankNeedsEveryOtherKernelNetworkAndNoTier() {
    func ranked(_ nat: Double, spread: Double = 0.01) -> FabricatedResult {
      var result = FabricatedResult("bare", ["host", "nat", "vxlan", "vxlan+tc"])
      result.add(
        Self.stream(256), ["host": 1, "nat": nat, "vxlan": 0.5, "vxlan+tc": 0.3], spread: spread)
      return result
    }
    #expect(judge(.worst(["vxlan"]), ranked(0.8)) == .holds)
    #expect(judge(.worst(["vxlan"]), ranked(0.4)) == .doesNotHold)
    #expect(judge(.worst(["vxlan"]), ranked(0.55, spread: 0.4)) == .cannotBeTold)
  }

  @Test func growthIsTheRatioOfRatios() {
    func grown(_ small: Double, _ large: Double) -> FabricatedResult {
      var result = FabricatedResult("bare", ["vxlan"])
      result.add(Self.stream(16), ["vxlan": small])
      result.add(Self.stream(1024), ["vxlan": large])
      return result
    }
    #expect(judge(.scalesLess(["vxlan"]), grown(0.8, 0.4)) == .holds)
    #expect(judge(.scalesLess(["vxlan"]), grown(0.4, 0.8)) == .doesNotHold)
    #expect(judge(.scalesLess(["vxlan"]), grown(0.5, 0.5)) == .doesNotHold)
  }

  @Test func experimentsShareRowsAndUnknownOnesAreAMistake() throws {
    let both = try PaperSelection(["fig4", "fig5"], isQuick: true)
    let plan = try both.plan(repeats: nil, duration: nil)
    #expect(plan.cells.count { $0.measure == .tcpStream && $0.size == 256 } == 1)
    #expect(Set(plan.cells).count == plan.cells.count)
    #expect(throws: Failure.self) { try PaperSelection(["fig99"], isQuick: true) }
    let all = try PaperSelection([], isQuick: true)
    #expect(all.experiments.count == 13)
    #expect(Estimate(try all.plan(repeats: nil, duration: nil)).seconds < 20 * 60)
  }

  @Test func aTierIsPairedWithItsKernelNetworkAndFollowsIt() throws {
    let arena = ScriptedArena()
    arena.speed = { network, _ in network.tier != nil ? 150 : network.base == "bare" ? 300 : 100 }
    let (bare, vxlan, tier) = (Network(known: "bare"), Network(known: "vxlan"), Network(known: "vxlan+tc"))
    let plan = Plan(
      baseline: bare, choice: [(Self.stream(256), [tier, vxlan, Network(known: "host")])], repeats: 6,
      duration: 0.1,
      isQuick: true)
    var report = FabricatedResult("bare", []).report
    try Campaign(plan, on: arena).run(&report)
    let index = try #require(arena.trials.firstIndex(of: tier))
    #expect(index > 0 && arena.trials[index - 1] == vxlan)
    let one = try #require(report.comparisons.first { $0.a == "vxlan+tc" && $0.b == "vxlan" })
    #expect((one.ratio, one.pairs) == (1.5, 6))
    #expect(report.comparisons.first { $0.a == "vxlan+tc" }?.b == "bare")
    #expect(report.comparisons.count == 4)
  }

  /// Figures as extreme as they come, in every form.
  private func drawn(_ value: Double, _ failed: String?) throws -> PaperReport {
    let selection = try PaperSelection(["fig4", "fig7", "fig9", "table6"], isQuick: true)
    var result = FabricatedResult("bare", ["vxlan", "vxlan+tc"])
    for cell in try selection.plan(repeats: nil, duration: nil).cells {
      result.add(cell, ["vxlan": value, "vxlan+tc": 1 / value], spread: 0.9)
    }
    if let failed {
      result.report.results[1].failed = failed
      result.report.results[2].skipped = failed
      (result.report.results[1].median, result.report.results[2].median) = (nil, nil)
    }
    var report = PaperReport(result.report)
    report.draw(selection)
    return report
  }

  @Test(arguments: [1e-9, 0.9996, 999.6, 1e15]) func everyFormHoldsWhateverTheFiguresAre(value: Double) throws
  {
    for words in [nil, "a <b> & \"c\" | \u{1b}[31m " + String(repeating: "x", count: 200)] {
      let report = try drawn(value, words)
      for line in PaperTable(report, coloured: false).text.split(separator: "\n") {
        #expect(line.count <= 80, "\(line)")
      }
      let outline = Outline(try PaperPage(report).encoded())
      #expect(outline.failure == nil)
      #expect(outline.text.contains("the paper 1.55×"))
      for address in outline.addresses where !address.hasPrefix("#") {
        #expect(address.hasPrefix("data:"), "\(address)")
      }
      #expect(PaperMarkdown(report).text.contains("paper 1.55×"))
      let again = try PaperReport.decoded(report.encoded())
      #expect(again == report)
    }
  }
}

/// The study's own workloads on living labs, as short as they can be.
@Suite(.serialized, .enabled(if: mayUseKernel, "\(needsRoot)"))
struct PaperLabTests {
  private let arena = LabArena(
    .init(duration: 0.05, warmUp: 0.01, asShipped: false), drivers: [.fastPath(.tc, bypassPolicy: false)])

  private func trial(_ network: String, _ measure: Measure, _ span: Span = .twoHosts) throws -> Sample? {
    let cell = Cell(
      measure: measure, size: measure.defaultSizes[0], offloads: .off,
      placement: CPU.count > 1 ? .twoCore : .oneCore,
      span: span)
    let network = Network(known: network)
    if arena.reasonToSkip(network, cell) != nil { return nil }
    let gate = try arena.gate(network, cell)
    #expect(gate.passed, "\(gate.summary)")
    return try arena.trial(network, cell)
  }

  @Test func launchesTellTheirPartsAndAddThemUp() throws {
    defer { try? arena.close() }
    for network in ["none", "container", "bridge", "nat", "vxlan", "flannel", "calico", "vxlan+tc"] {
      for _ in 0..<2 {
        guard let sample = try trial(network, .launch) else { continue }
        var parts = try #require(sample.parts)
        let tier = parts.removeValue(forKey: "tier")
        #expect((tier != nil) == network.contains("+"), "\(network)")
        #expect(abs(parts.values.reduce(0, +) - sample.value) < 0.001, "\(network)")
        #expect((parts["interface"] != nil) == !["none", "container"].contains(network), "\(network)")
      }
    }
  }

  @Test func bothWaysCarryAndEverybodyHearsFromEverybody() throws {
    defer { try? arena.close() }
    for network in ["bare", "bridge", "vxlan+tc"] {
      let span = network == "vxlan+tc" ? Span.twoHosts : .oneHost
      for way in BulkDirection.allCases {
        let bulk = try trial(network, .bulk(way), span)
        #expect((bulk?.value ?? 0) > 1e6, "\(network) \(way)")
      }
      let given = try trial(network, .allToAll(containers: 4), span)
      let exchange = try #require(given)
      #expect(exchange.value > 1 && exchange.transactionsPerSecond! > 10, "\(network)")
    }
    let spread = try trial("vxlan", .allToAll(containers: 4), .oneToMany)
    #expect((spread?.value ?? 0) > 1)
    let translated = try trial("nat", .allToAll(containers: 4))
    #expect(translated == nil)
  }
}
