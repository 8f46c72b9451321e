// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import Testing

@testable import Bench

struct ResumptionTests {
  static let networks = [CampaignTests.baseline, CampaignTests.tiered]
  static let cells = [64, 1400, 9000].map {
    Cell(measure: .udpStream, size: $0, offloads: .on, placement: .twoCore)
  }

  private func campaign(_ arena: ScriptedArena) -> Campaign {
    Campaign(
      schedule: Schedule(baseline: Self.networks[0], networks: [Self.networks[1]]), cells: Self.cells,
      repeats: 6, searchRepeats: 2, measuresCost: false, arena: arena)
  }

  /// A run that is broken off in the middle of its second row.
  private func broken() throws -> (report: ABReport, trials: Int) {
    let arena = ScriptedArena()
    var campaign = campaign(arena)
    campaign.isInterrupted = { arena.trials.count >= 25 }
    var report = ABReport.sample()
    try campaign.run(&report)
    return (try ABReport.decoded(report.encoded()), arena.trials.count)
  }

  @Test func onlyWhatIsMissingIsMeasured() throws {
    let (earlier, _) = try broken()
    #expect(earlier.results.count == 4)
    #expect(earlier.results.count { $0.interrupted == true } == 2)
    var report = ABReport.sample()
    try report.resume(earlier)
    #expect(report.results.map(\.size) == [64, 64])
    #expect(report.comparisons.map(\.size) == [64])
    #expect(report.noiseFloor.map(\.size) == [64])
    let arena = ScriptedArena()
    // Another speed, so that rows tell which run they are of.
    arena.speed = { network, _ in network.tier == nil ? 100 : 500 }
    try campaign(arena).run(&report)
    #expect(report.complete)
    #expect(arena.trials.count == 2 * 18)
    #expect(report.results.map(\.size) == [64, 64, 1400, 1400, 9000, 9000])
    #expect(report.comparisons.map(\.ratio) == [3, 5, 5])
    #expect(report.results.allSatisfy { $0.interrupted == nil })
  }

  @Test func aWholeFileIsLeftAsItIs() throws {
    var first = ABReport.sample()
    try campaign(ScriptedArena()).run(&first)
    var report = ABReport.sample()
    try report.resume(first)
    let arena = ScriptedArena()
    try campaign(arena).run(&report)
    #expect(arena.trials.isEmpty)
    #expect(report == first)
  }

  @Test func whatFailedIsTriedAgain() throws {
    let arena = ScriptedArena()
    arena.failing = Self.networks[1]
    var first = ABReport.sample()
    try campaign(arena).run(&first)
    var report = ABReport.sample()
    try report.resume(first)
    #expect(report.results.isEmpty)
  }

  @Test(arguments: ["repeats", "duration", "networks", "kernel", "debug build", "networks as", "warm-up"])
  func otherSettingsAreRefusedByName(what: String) throws {
    var earlier = try broken().report
    switch what {
    case "repeats": earlier.settings.repeats += 1
    case "duration": earlier.settings.durationS += 1
    case "networks": earlier.settings.networks.append("nat")
    case "kernel": earlier.environment.kernel = "2.4"
    case "debug build": earlier.environment.debugBuild.toggle()
    case "networks as": earlier.environment.baseline = "as-shipped"
    default: earlier.settings.warmUpS = 7
    }
    var report = ABReport.sample()
    let failure = #expect(throws: Failure.self) { try report.resume(earlier) }
    #expect(failure?.status == .usage)
    #expect(failure?.description.contains("\(what): ") == true)
  }
}
