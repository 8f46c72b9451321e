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
    "vxlan+xdp:udp-rr:inf", "nat:udp-rr:1", "vxlan:udp-rr:1", "vxlan+xdp:udp:1", "vxlan+xdp:launch:1", "::1",
  ])
  func whatCannotBeMissedIsAUsageError(text: String) {
    let failure = #expect(throws: Failure.self) { try threshold(text) }
    #expect(failure?.status == .usage)
  }
}
