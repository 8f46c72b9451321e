// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import Testing

@testable import Bench

struct ThresholdTests {
  private static func plan() throws -> Plan { try Plan(Plan.Request(), tiers: ["xdp"]) }

  private func threshold(_ text: String) throws -> Threshold {
    try Threshold(parsing: text, plan: Self.plan())
  }

  /// One cell at three times the baseline's metric.
  private func report(_ cell: Cell, _ change: (ScriptedArena) -> Void = { _ in }) throws -> ABReport {
    let arena = ScriptedArena()
    change(arena)
    var report = ABReport.sample()
    try Campaign(
      schedule: Schedule(baseline: CampaignTests.baseline, networks: [CampaignTests.tiered]), cells: [cell],
      repeats: 6, searchRepeats: 2, measuresCost: false, arena: arena
    ).run(&report)
    return report
  }

  private func cell(_ measure: Measure) -> Cell {
    Cell(measure: measure, size: 64, offloads: .on, placement: .oneCore)
  }

  @Test func whereMoreIsBetterTheRatioIsTheMetrics() throws {
    let report = try report(cell(.packetRate(.encap)))
    #expect(try threshold("vxlan+xdp:packet-rate:encap:2.9").misses(in: report) == [])
    #expect(try threshold("vxlan+xdp:packet-rate:2.9").misses(in: report) == [])
    let misses = try threshold("vxlan+xdp:packet-rate:encap:3.1").misses(in: report)
    #expect(misses.count == 1)
    #expect(misses.first?.contains("vxlan+xdp packet-rate:encap 64 B") == true)
    #expect(misses.first?.contains("3.00×") == true)
    #expect(try threshold("vxlan+xdp:packet-rate:decap:9").misses(in: report) == [], "another workload")
    #expect(try threshold("bare:packet-rate:encap:9").misses(in: report) == [], "another network")
  }

  @Test func ofLatencyItIsTheInverse() throws {
    // Round trips take three times as long: a third of the speed.
    let slow = try report(cell(.udpRoundTrip))
    #expect(try threshold("vxlan+xdp:udp-rr:0.3").misses(in: slow) == [])
    #expect(try threshold("vxlan+xdp:udp-rr:0.4").misses(in: slow).count == 1)
    let fast = try report(cell(.udpRoundTrip)) { $0.speed = { network, _ in network.tier == nil ? 100 : 50 } }
    #expect(try threshold("vxlan+xdp:udp-rr:1.9").misses(in: fast) == [])
    #expect(try threshold("vxlan+xdp:udp-rr:2.1").misses(in: fast).count == 1)
  }

  /// The median alone decides nothing: the interval has to be below, and by more than the noise.
  @Test func whatTheMachineMayHaveDoneIsNoMiss() throws {
    var report = try report(cell(.packetRate(.encap)))
    func misses(_ limit: String) throws -> [String] {
      try threshold("vxlan+xdp:packet-rate:encap:\(limit)").misses(in: report)
    }
    report.comparisons[0].ratio = 0.9
    report.comparisons[0].ci95 = [0.85, 0.96]
    #expect(try misses("0.95") == [], "0.96 is within the interval")
    report.comparisons[0].ci95 = [0.85, 0.93]
    #expect(try misses("0.95").first?.contains("(0.85–0.93), not 0.95×") == true)
    report.noiseFloor[0].ci95 = [0.99, 1.06]
    #expect(try misses("0.95") == [], "the baseline against itself is 1/1.06")
    #expect(try misses("0.99").first?.contains("against itself is 0.94×") == true)
    report.noiseFloor[0].ci95 = [0.9, 1]
    #expect(try misses("0.99") == [])
    report.noiseFloor[0].ci95 = [1.01, 1.02]
    #expect(try misses("0.94") == [], "0.94/1.02 = 0.922")
    #expect(try misses("0.95").count == 1, "0.95/1.02 = 0.931")
    // Of latency the interval is turned round.
    report.comparisons[0].better = .lower
    report.comparisons[0].ratio = 1.1
    report.comparisons[0].ci95 = [1.02, 1.2]
    report.noiseFloor = []
    #expect(try misses("0.97") == [])
    #expect(try misses("0.99").count == 1)
  }

  /// Every trial counts, not the median: a path that collapses at times is in its slow state at others' cost.
  @Test func underOverloadNoTrialIsFarBelowTheLossFreeRate() throws {
    var report = try report(cell(.packetRate(.decap)))
    report.results += try self.report(cell(.noDropRate(.decap))).results
    func misses(_ words: String) throws -> [String] {
      try threshold("vxlan+xdp:overload\(words)").misses(in: report)
    }
    let rate = try #require(report.results.firstIndex { $0.network == "vxlan+xdp" && $0.metric == "packets_per_second" })
    let free = try #require(report.results.firstIndex { $0.network == "vxlan+xdp" && $0.metric == "ndr_packets_per_second" })
    report.results[free].median = 3.82e6
    report.results[rate].samples = [4.07e6, 3.56e6, 3.5e6, 3.7e6, 3.44e6, 3.9e6]
    #expect(try misses(":0.9") == [])
    #expect(try misses(":decap:0.9") == [])
    #expect(try misses(":decap:0.95").first?.contains("3 of 6 trials below 0.95× the loss-free rate of 3.82 M/s") == true)
    report.results[rate].samples[2] = 1.2e6
    let one = try misses(":decap:0.9")
    #expect(one.count == 1 && one[0].contains("1 of 6 trials") && one[0].contains("the least 1.20 M/s"))
    #expect(try misses(":encap:0.9") == [], "another direction")
    report.results[free].median = nil
    #expect(try misses(":0.9").first?.contains("no loss-free rate") == true)
    report.results[free].failed = "broke"
    #expect(try misses(":0.9") == [], "another error")
  }

  @Test func overloadNeedsTheLossFreeRate() throws {
    var request = Plan.Request()
    request.quick = true
    let quick = try Plan(request, tiers: ["xdp"])
    let failure = #expect(throws: Failure.self) { try Threshold(parsing: "vxlan+xdp:overload:0.9", plan: quick) }
    #expect(failure?.status == .usage)
    request = Plan.Request()
    request.workloads = ["udp-rr"]
    let other = try Plan(request, tiers: ["xdp"])
    #expect(throws: Failure.self) { try Threshold(parsing: "vxlan+xdp:overload:0.9", plan: other) }
  }

  @Test func allIsEveryRow() throws {
    let report = try report(cell(.packetRate(.encap)))
    #expect(try threshold("vxlan+xdp:all:2.9").misses(in: report) == [])
    #expect(try threshold("vxlan+xdp:all:3.1").misses(in: report).count == 1)
    #expect(try threshold("bare:all:3.1").misses(in: report) == [])
  }

  @Test func aRowThatWasSkippedMissesAndOneThatFailedIsAnotherError() throws {
    var report = try report(cell(.udpStream))
    report.comparisons = []
    #expect(try threshold("vxlan+xdp:udp-stream:0.1").misses(in: report).count == 1)
    report.results[1].skipped = "no such thing here"
    #expect(
      try threshold("vxlan+xdp:udp-stream:0.1").misses(in: report).first?.contains("no such thing") == true)
    report.results[1].skipped = nil
    report.results[1].failed = "broke"
    #expect(try threshold("vxlan+xdp:udp-stream:0.1").misses(in: report) == [])
  }

  @Test(arguments: [
    "vxlan+xdp", "vxlan+xdp:udp-rr", "vxlan+xdp:udp-rr:fast", "vxlan+xdp:udp-rr:0", "vxlan+xdp:udp-rr:-1",
    "vxlan+xdp:udp-rr:inf", "vxlan+xdp:overload:sideways:0.9", "nat:udp-rr:1", "vxlan:udp-rr:1", "vxlan+xdp:udp:1", "vxlan+xdp:launch:1", "::1",
  ])
  func whatCannotBeMissedIsAUsageError(text: String) {
    let failure = #expect(throws: Failure.self) { try threshold(text) }
    #expect(failure?.status == .usage)
  }
}
