// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import Testing
import Traffic

@testable import Bench

struct CampaignTests {
  static let baseline = Network(base: "vxlan")
  static let tiered = Network(base: "vxlan", tier: "xdp")
  static let cell = Cell(measure: .udpStream, size: 64, offloads: .on, placement: .twoCore)

  private func campaign(_ arena: ScriptedArena, repeats: Int = 4, cost: Bool = false) -> Campaign {
    Campaign(
      schedule: Schedule(baseline: Self.baseline, networks: [Self.tiered]), cells: [Self.cell],
      repeats: repeats, searchRepeats: 2, measuresCost: cost, arena: arena)
  }

  @Test func pairsGiveRatioVerdictAndNoiseFloor() throws {
    let arena = ScriptedArena()
    var report = ABReport.sample()
    try campaign(arena, repeats: 6, cost: true).run(&report)
    let comparison = try #require(report.comparisons.first)
    #expect(comparison.ratio == 3)
    #expect(comparison.verdict == .better)
    #expect(comparison.pairs == 6)
    #expect(comparison.droppedPairs == 0)
    #expect(report.noiseFloor.first?.ratio == 1)
    #expect(report.results.map(\.samples.count) == [12, 6])
    #expect(report.results[1].cpuNsPerPacket == 1.5e9 / 300)
    #expect(report.results[1].tier?.obtained == "xdp native")
    #expect(report.complete)
  }

  @Test func aPassInWhichTheMachineFlippedIsRepeated() throws {
    let arena = ScriptedArena()
    // Three trials a pass, four probes: the second pass flips.
    arena.distances = [60, 60, 60, 60, 60, 200, 200, 200]
    var report = ABReport.sample()
    try campaign(arena).run(&report)
    #expect(report.comparisons.first?.pairs == 4)
    #expect(report.comparisons.first?.droppedPairs == 1)
    #expect(arena.trials.count == 15)
    #expect(report.environment.cpuDistanceRangeNs == [60, 200])
  }

  @Test func onlyWhatLacksPairsIsRepeated() throws {
    let arena = ScriptedArena()
    let bare = Network(base: "bare")
    // [vxlan vxlan bare xdp], and the state flips in the last trial of the first pass.
    arena.distances = [60, 60, 60, 60, 200]
    var report = ABReport.sample()
    var campaign = campaign(arena)
    campaign.schedule = Schedule(baseline: Self.baseline, networks: [bare, Self.tiered])
    try campaign.run(&report)
    #expect(report.comparisons.map(\.a) == ["bare", "vxlan+xdp"])
    #expect(report.comparisons.map(\.pairs) == [4, 4])
    #expect(report.comparisons.map(\.droppedPairs) == [0, 1])
    #expect(arena.trials.count == 4 * 4 + 3)
    #expect(arena.trials.suffix(3) == [Self.baseline, Self.baseline, Self.tiered])
  }

  @Test func withoutTimeLeftNothingIsRepeated() throws {
    let arena = ScriptedArena()
    arena.distances = [60, 60, 60, 200]
    var campaign = campaign(arena)
    campaign.budget = 0
    var report = ABReport.sample()
    try campaign.run(&report)
    #expect(arena.trials.count == 12)
    // Three pairs of four are too few to leave the other out.
    #expect(report.comparisons.first?.pairs == 4)
    #expect(report.comparisons.first?.unsettledPairs == 1)
    #expect(report.comparisons.first?.droppedPairs == 0)
    #expect(report.results.map(\.samples.count) == [8, 4])
    #expect(report.complete)
  }

  @Test func aMachineThatNeverSettlesEndsTheRunAnyway() throws {
    let arena = ScriptedArena()
    arena.distances = (0..<400).map { $0 % 2 == 0 ? 60 : 200 }
    var report = ABReport.sample()
    try campaign(arena).run(&report)
    #expect(arena.trials.count == 24, "repeats and as many again")
    // What there is counts, and says so wherever it is shown.
    let comparison = try #require(report.comparisons.first)
    #expect(comparison.ratio == 3)
    #expect(comparison.pairs == 8)
    #expect(comparison.unsettledPairs == 8)
    #expect(comparison.verdict == .better)
    #expect(report.results.first?.samples.count == 16)
    let page = try ABPage(report).html()
    for text in [ABTable(report, coloured: false).text, ABMarkdown(report).text, page] {
      #expect(text.contains("~3.00×") && text.replacing("\n", with: " ").contains("CPUs moved during the row"))
    }
  }

  @Test func whatFailsTheGateIsNotTimed() throws {
    let arena = ScriptedArena()
    arena.broken = Self.tiered
    var report = ABReport.sample()
    try campaign(arena).run(&report)
    #expect(!arena.trials.contains(Self.tiered))
    #expect(report.results[1].failed?.contains("1473") == true)
    #expect(report.results[1].samples.isEmpty)
    #expect(report.comparisons.isEmpty)
  }

  @Test func aFailedTrialIsReportedAndTheRestGoesOn() throws {
    let arena = ScriptedArena()
    arena.failing = Self.tiered
    var report = ABReport.sample()
    try campaign(arena).run(&report)
    #expect(arena.trials.count { $0 == Self.tiered } == 1)
    #expect(report.results[0].samples.count == 8)
    #expect(report.results[1].failed != nil)
  }

  @Test func anInterruptionLeavesWhatWasMeasured() throws {
    let arena = ScriptedArena()
    var campaign = campaign(arena)
    campaign.isInterrupted = { arena.trials.count >= 7 }
    var report = ABReport.sample()
    try campaign.run(&report)
    #expect(!report.complete)
    #expect(report.comparisons.first?.pairs == 2)
    #expect(report.results.allSatisfy { $0.interrupted == true })
    #expect(try ABReport.decoded(report.encoded()) == report)
  }

  @Test func whatIsKeptOfEveryTrialIsTheWorstShareAndAllRoundTrips() throws {
    var cell = Self.cell
    (cell.measure, cell.flows) = (.udpRoundTrip, 2)
    var seen = Observations(cell: cell)
    seen.samples[Self.tiered] = (1...4).map { trial in
      var sample = Sample(value: 1)
      sample.tierShare = 1 - Double(trial) / 100
      var histogram = LatencyHistogram()
      for _ in 0..<25 { histogram.record(nanoseconds: UInt64(trial) * 10_000) }
      sample.histogram = histogram
      return sample
    }
    seen.pairs[Self.tiered] = [(1, 2)]
    seen.pairs[Self.baseline] = [(1, 1)]
    let result = seen.result(of: Self.tiered, tier: ABReport.Tier(requested: "xdp", obtained: "xdp native"))
    #expect(result.tier?.share == 0.96)
    let distribution = try #require(result.latencyDistribution)
    #expect(distribution.map { $0[0] } == distribution.map { $0[0] }.sorted())
    #expect(distribution.map { $0[1] } == distribution.map { $0[1] }.sorted())
    for (percentile, value) in [(25.0, 10.0), (50, 20), (100, 40)] {
      #expect(abs(distribution.first { $0[0] == percentile }![1] - value) < 0.1)
    }
    #expect(result.flows == 2)
    #expect(seen.comparison(of: Self.tiered, with: Self.baseline)?.flows == 2)
    #expect(seen.noiseFloor(of: Self.baseline)?.flows == 2)
    #expect(seen.comparison(of: Self.tiered, with: Self.baseline)?.isOf(result) == true)
    var alone = result
    alone.flows = nil
    #expect(seen.comparison(of: Self.tiered, with: Self.baseline)?.isOf(alone) == false)
  }
}
