// SPDX-License-Identifier: Apache-2.0
import DataPlane
import FastPath
import Foundation
import LinuxSystem
import Synchronization
import TestSupport
import Testing

@testable import Bench

struct LadderTests {
  private static func rung(_ name: String, _ samples: [Double]) -> Rung {
    // The round that does not count comes first.
    var rest = [1e9] + samples
    return Rung(part: .bpf, tier: "xdp", step: name, packets: 10, run: { rest.removeFirst() })
  }

  @Test func aStepIsWhatIsLeftOfItsHarnessAndStandsOnTheOneBelow() throws {
    var ladder = Ladder()
    var empty = Self.rung("empty", [1, 2, 3])
    empty.isHelper = true
    let harness = ladder.add(empty)
    var parse = Self.rung("parse", [5, 6, 7])
    parse.minus = [(harness, 1)]
    let below = ladder.add(parse)
    var hit = Self.rung("hit", [10, 10, 10])
    hit.minus = [(harness, 0.5)]
    hit.above = below
    var reference = [9.0, 5, 5, 5]
    hit.reference = { reference.removeFirst() }
    ladder.add(hit)
    let steps = try ladder.measure(rounds: 3) { _ in }
    #expect(steps.map(\.step) == ["parse", "hit"])
    #expect(steps[0].samples == [4, 4, 4])
    #expect(steps[0].nsPerPacket.ci95 == [4, 4])
    #expect(steps[0].packets == 30)
    #expect(steps[1].samples == [9.5, 9, 8.5])
    #expect(steps[1].adds?.median == 5)
    #expect(steps[1].above == "parse")
    #expect(steps[1].referenceNs == 5)
    #expect(steps[1].referenceRatio?.median == 2)
  }

  @Test func instructionsAreThoseOfTheStepAlone() throws {
    var done: UInt64 = 0
    func rung(_ name: String, _ instructions: UInt64) -> Rung {
      Rung(
        part: .bpf, tier: "xdp", step: name, packets: 10,
        run: {
          done += instructions
          return 1
        })
    }
    var ladder = Ladder()
    var empty = rung("empty", 50)
    empty.isHelper = true
    let harness = ladder.add(empty)
    var parse = rung("parse", 200)
    parse.minus = [(harness, 1)]
    ladder.add(parse)
    let steps = try ladder.measure(
      rounds: 3, counters: { HardwareCounters.Counts(instructions: done, cycles: 2 * done) }
    ) { _ in }
    #expect(steps[0].instructionsPerPacket?.median == 15)
    #expect(steps[0].cyclesPerPacket?.median == 30)
    #expect(try ladder.measure(rounds: 1) { _ in }[0].instructionsPerPacket == nil)
  }

  @Test(.enabled(if: mayUseKernel, "\(needsRoot)")) func countersCountThisThread() throws {
    // Events of the kernel's own, which every machine has: time on a CPU, and again.
    let counters = try #require(
      HardwareCounters(.init(type: 1, number: 1), .init(type: 1, number: 1)))
    let before = try #require(counters.read())
    let end = Clock.monotonicNanoseconds + 5_000_000
    while Clock.monotonicNanoseconds < end {}
    let after = try #require(counters.read())
    #expect(after.instructions > before.instructions && after.cycles > before.cycles)
    #expect(HardwareCounters(.init(type: 99, number: 1)) == nil)
  }

  @Test func aFigureThatItsSpreadHidesIsNone() throws {
    let calm = try #require(CostReport.Figure([10, 11, 10, 11, 10]))
    #expect(!calm.isHidden)
    let wild = try #require(CostReport.Figure([1, 40, 2, 39, 1, 38, 3]))
    #expect(wild.isHidden)
    // Nothing hides half a nanosecond: it is half a nanosecond.
    let small = try #require(CostReport.Figure([0.1, 0.6, 0.3]))
    #expect(!small.isHidden)
    #expect(CostReport.Figure([]) == nil)
  }
}

extension CostReport {
  /// Resampling takes a build for debugging long, and goes with the scale: once for each spread.
  private static let samples = Mutex<[Double: CostReport]>([:])

  static func sample(_ scale: Double = 1, spread: Double = 0.01) -> CostReport {
    var report = samples.withLock { samples in
      if let made = samples[spread] { return made }
      let made = unscaled(spread)
      samples[spread] = made
      return made
    }
    for index in report.steps.indices {
      report.steps[index].samples = report.steps[index].samples.map { $0 * scale }
      report.steps[index].nsPerPacket.median *= scale
      report.steps[index].nsPerPacket.ci95 = report.steps[index].nsPerPacket.ci95.map { $0 * scale }
      guard report.steps[index].part == .path else { continue }
      report.steps[index].delays = report.steps[index].delays?.map {
        Delay(
          percentOfNdr: $0.percentOfNdr, p50Us: $0.p50Us * scale, p90Us: $0.p90Us * scale,
          p99Us: $0.p99Us * scale, maxUs: $0.maxUs * scale, lostFraction: $0.lostFraction)
      }
    }
    return report
  }

  private static func unscaled(_ spread: Double) -> CostReport {
    var report = CostReport(environment: .init(machine: .read(), rounds: 5))
    report.environment.debugBuild = false
    func add(
      _ part: Part, _ step: String, _ ns: Double, _ conditions: Conditions, above: String? = nil,
      reference: Double? = nil
    ) {
      let samples = [-2, -1, 0, 1, 2].map { ns * (1 + spread * $0) }
      var new = Step(
        part: part, tier: part == .bpf ? "xdp" : part == .swift ? "afxdp" : "vxlan+xdp", step: step,
        conditions: conditions, nsPerPacket: Figure(samples)!, packets: 100, samples: samples)
      new.above = above
      new.adds = above.map { _ in Figure([1, 2, 3])! }
      new.referenceNs = reference
      new.referenceRatio = reference.map { Figure([ns / $0])! }
      if part == .path { new.packetsPerSecond = 1e9 / ns }
      report.steps.append(new)
    }
    for entries in [1, 1000, 1_000_000] {
      let conditions = Conditions(ipVersion: 4, bytes: 64, entries: entries, destinations: "one")
      add(.bpf, "parse", 4, conditions)
      add(.bpf, "encapsulate", 40, conditions, above: "parse")
      add(.bpf, "encapsulate, looked up", 50, conditions, above: "parse")
      add(.bpf, "kernel: unknown-destination <&> (uplink)", 50, conditions)
    }
    for burst in [1, 64] {
      let conditions = Conditions(ipVersion: 4, bytes: 64, burst: burst)
      add(.swift, "parse", 2, conditions, reference: 2)
      add(.swift, "whole", 9, conditions, above: "parse")
    }
    add(.path, "encap", 310, Conditions(bytes: 64))
    report.steps[report.steps.count - 1].delays = [10, 50, 90].map {
      Delay(
        percentOfNdr: $0, p50Us: 12.3, p90Us: 15, p99Us: 99.9, maxUs: 1000, lostFraction: 0)
    }
    add(.path, "encap", 450, Conditions(bytes: 64, containers: 64, run: 1))
    report.steps[report.steps.count - 1].timesOneContainer = Figure([1.4, 1.5, 1.6])
    for index in report.steps.indices where report.steps[index].part == .path {
      report.steps[index].timesFaster = ["vxlan", "bare", "testpmd"].map {
        Ratio(than: $0, figure: Figure([7.1, 7.2, 7.3])!)
      }
      report.steps[index].packetsPerBurst = 64
      report.steps[index].callsPerPacket = 0.02
    }
    return report
  }
}

struct CostReportTests {
  @Test func theJSONIsTheContracts() throws {
    let report = CostReport.sample()
    let object = try #require(
      JSONSerialization.jsonObject(with: report.encoded()) as? [String: Any])
    #expect(object["schema"] as? String == "culvert.cost/1")
    let steps = try #require(object["steps"] as? [[String: Any]])
    let figure = try #require(steps[0]["ns_per_packet"] as? [String: Any])
    #expect(figure["median"] as? Double == 4)
    #expect((figure["ci95"] as? [Double])?.count == 2)
    for key in ["tier", "step", "packets"] { #expect(steps[0][key] != nil, "\(key)") }
    #expect(steps.contains { $0["reference_ns"] as? Double == 2 })
    #expect(try CostReport.decoded(report.encoded()) == report)
  }

  @Test(arguments: [1.0, 1e-3, 1e7]) func theTableIsNeverWiderThan80(scale: Double) {
    let text = CostText(.sample(scale, spread: 0.3)).text
    for line in text.split(separator: "\n") { #expect(line.count <= 80, "\(line)") }
    #expect(text.contains("IPv4, 64 B, 1M entries"))
  }

  @Test func markdownHasARowAStep() {
    let report = CostReport.sample()
    let text = CostMarkdown(report).text
    #expect(text.split(separator: "\n").count { $0.hasPrefix("| ") } == report.steps.count + Set(report.steps.map(\.part)).count)
    #expect(text.contains("kernel: unknown-destination &lt;&>"))
  }

  @Test func thePageIsWellFormedAndNeedsNothingElse() throws {
    let page = try CostPage(.sample()).encoded()
    let outline = Outline(page)
    #expect(outline.failure == nil)
    #expect(outline.text.contains("unknown-destination <&> (uplink)"))
    // By entries, by burst size and by load.
    #expect(outline.elements["svg"] == 3)
    #expect(outline.elements["script"] == nil)
    for address in outline.addresses {
      #expect(address.hasPrefix("data:") || outline.names.contains(String(address.dropFirst())), "\(address)")
    }
  }

  /// What a packet costs is the first thing that is read; each bar has its interval, and each step's name leads to what it is.
  @Test func thePageBeginsWithTheResult() throws {
    let report = CostReport.sample()
    #expect(report.sentence == "A packet costs 40.0 ns in tier xdp's program, 9.00 ns in tier afxdp's forwarder, 310 ns of a whole host by xdp")
    #expect(report.highlights.map(\.step.step) == ["encapsulate", "whole", "encap"])
    #expect(report.highlights.last?.beside == "7.20× the kernel's rate")
    let page = try CostPage(report).html()
    #expect(page.contains("<h1>\(Markup.escaped(report.sentence))</h1>"))
    let outline = Outline(Data(page.utf8))
    for name in ["step-parse", "step-encapsulate", "step-whole", "step-kernel"] { #expect(outline.names.contains(name), "\(name)") }
    #expect(page.contains("to encapsulate: IPv4, 64 B") && page.contains("all of it: IPv4, 64 B, burst of 64"))
    let bars = CostBars(report: report).markup.source
    #expect(bars.components(separatedBy: "class=\"bar ").count > 6)
    #expect(
      bars.components(separatedBy: "class=\"bar ").count == bars.components(separatedBy: "class=\"span\"").count)
    var nothing = report
    nothing.steps = []
    #expect(nothing.sentence == "What a packet costs, step by step")
  }

  @Test func everyStepIsExplained() {
    let names: [(CostReport.Part, String)] =
      [
        "parse", "hit, remembered", "hit, looked up", "encapsulate", "encapsulate, looked up", "outer headers", "decapsulate",
        "decapsulate, looked up", "kernel: mtu (port)",
      ].map { (.bpf, $0) } + (BurstInMemory.Step.allCases.map(\.rawValue) + ["rings"]).map { (.swift, $0) }
    for (part, name) in names {
      let step = CostReport.Step(
        part: part, tier: "", step: name, conditions: .init(), nsPerPacket: CostReport.Figure([1])!, packets: 1, samples: [1])
      #expect(step.explanation != nil, "\(name)")
    }
  }

  /// A change's time from the kernel to the map, in the forms that other results have.
  @Test func theTablesResultHasAPageAndMarkdown() throws {
    var result = TableCost.Result(entries: 10_000, start: 0.25, bytesPerEntry: 96)
    result.changeToMap = (1...100).map(Double.init)
    result.insertToMap = (1...100).map { Double($0) * 2 }
    result.missed = 2
    let outline = Outline(try TableCostPage(result).encoded())
    #expect(outline.failure == nil && outline.elements["svg"] == 1 && outline.elements["script"] == nil)
    let markdown = TableCostMarkdown(result).text
    for text in [outline.text, markdown] {
      for words in ["is in the BPF map after 50.0 µs, 99 of 100 within 99.0 µs, among 10k entries", "2 of 302", "200 µs"] {
        #expect(text.contains(words), "\(words)")
      }
    }
    #expect(markdown.contains("| moved | 50.0 µs | 99.0 µs | 100 µs |") && markdown.contains("| deleted | – | – | – |"))
    // Where nothing was seen there is nothing to draw.
    result.changeToMap = []
    result.insertToMap = []
    #expect(Outline(try TableCostPage(result).encoded()).elements["svg"] == nil)
  }

  /// A comparison of hosts as the steps of the ladder: who is compared with whom, and what with several containers.
  @Test func hostsAreStepsOfTheLadder() throws {
    var report = ABReport(
      environment: .init(machine: .read(), baseline: "tuned", offloads: [:]),
      settings: .init(repeats: 3, durationS: 1, pinning: [:], baselineNetwork: "vxlan", networks: []))
    func add(_ network: String, _ measure: Measure, _ value: Double) {
      var result = ABReport.Result(
        network: network, workload: measure.workload, size: 64, offloads: "on", placement: "one-core",
        metric: measure.metric, unit: measure.unit, samples: [value, value, value], median: value)
      if case .frames(.delay, _) = measure {
        result.latencyUs = ["p50": value, "p90": 2, "p99": 3, "max": 4]
      }
      report.results.append(result)
    }
    for (network, rate) in [("bare", 10e6), ("redirect", 5e6), ("vxlan+xdp", 4e6), ("vxlan", 5e5)] {
      add(network, .packetRate(.encap), rate)
      add(network, .noDropRate(.encap), rate / 2)
      for percent in [10, 90] { add(network, .frames(.delay(percent: percent), .encap), Double(percent)) }
    }
    add("vxlan+xdp", .frames(.rateByTurns(containers: 64, run: 16), .encap), 2e6)
    add("vxlan", .frames(.rateByTurns(containers: 64, run: 16), .encap), 4e5)
    for (entries, rate) in [(1000, 3e6), (1_000_000, 2e6)] {
      add("vxlan+xdp", .frames(.rateAmong(entries: entries), .encap), rate)
    }
    let steps = CostPath(isQuick: false).steps(report)
    #expect(
      steps.map(\.tier) == [
        "bare", "redirect", "vxlan+xdp", "vxlan", "vxlan+xdp", "vxlan", "vxlan+xdp", "vxlan+xdp",
      ])
    let xdp = steps[2]
    #expect(xdp.nsPerPacket.median == 250)
    #expect(xdp.ndrPacketsPerSecond == 2e6)
    #expect(xdp.timesFaster?.map(\.than) == ["bare", "redirect", "vxlan"])
    #expect(xdp.timesFaster?.map(\.median) == [0.4, 0.8, 8])
    #expect(xdp.delays?.map(\.percentOfNdr) == [10, 90])
    #expect(xdp.delays?[1].p50Us == 90)
    #expect(xdp.timesOneContainer == nil)
    let turns = steps[4]
    #expect(turns.conditions.containers == 64 && turns.conditions.run == 16)
    #expect(turns.timesOneContainer?.median == 2)
    #expect(turns.timesFaster?.map(\.than) == ["vxlan"])
    #expect(turns.timesFaster?[0].median == 5)
    #expect(turns.delays == nil && turns.ndrPacketsPerSecond == nil)
    #expect(steps[6...].map(\.conditions.entries) == [1000, 1_000_000])
    #expect(steps[6].timesThousandEntries == nil)
    #expect(steps[7].timesThousandEntries?.median == 1.5)
    #expect(steps[7].timesFaster?.isEmpty == true && steps[7].timesOneContainer == nil)
    let text = HostText(steps).lines
    #expect(text.contains { $0.hasPrefix("any of 1M entries") && $0.contains("of 1k") })
    #expect(text.contains { $0.hasPrefix("vxlan+xdp encap") && $0.contains("1.50×") })
    #expect(text.allSatisfy { $0.count <= 80 })
  }

  @Test func aComparisonNamesWhatGotSlowerAndNothingElse() {
    let old = CostReport.sample()
    var new = CostReport.sample()
    new.steps[1].samples = new.steps[1].samples.map { $0 * 1.5 }
    new.steps[1].nsPerPacket = CostReport.Figure(new.steps[1].samples)!
    let gone = new.steps.remove(at: 5)
    let comparison = CostComparison(old, new)
    #expect(comparison.lines.filter(\.isWorse).map(\.name) == [old.steps[1].name])
    #expect(comparison.lines.count { $0.isBetter } == 0)
    #expect(comparison.lines.filter { $0.exceeds(30, drift: nil) }.count == 1)
    #expect(comparison.lines.filter { $0.exceeds(60, drift: nil) }.isEmpty)
    #expect(comparison.notes == ["only in the older result: \(gone.name)"])
    #expect(comparison.text.contains("1 slower, 0 faster, \(comparison.lines.count - 1) no difference"))
    for line in comparison.text.split(separator: "\n") { #expect(line.count <= 80, "\(line)") }
    #expect(CostComparison(new, old).lines.filter(\.isBetter).count == 1)
  }

  /// The same C in both runs tells how much of a difference is the machine's.
  @Test func aSlowerMachineIsSaidAndAllowedFor() throws {
    var (old, new) = (CostReport.sample(), CostReport.sample())
    for index in new.steps.indices {
      new.steps[index].samples = new.steps[index].samples.map { $0 * 1.5 }
      new.steps[index].nsPerPacket = CostReport.Figure(new.steps[index].samples)!
      (old.steps[index].referenceNs, new.steps[index].referenceNs) = (10, 15)
    }
    let comparison = CostComparison(old, new)
    #expect(comparison.drift == 1.5)
    #expect(!comparison.lines.contains { $0.part != .path && $0.isWorse })
    #expect(!comparison.lines.contains { $0.part != .path && $0.exceeds(20, drift: comparison.drift) })
    #expect(comparison.lines.contains { $0.part == .path && $0.exceeds(20, drift: comparison.drift) })
    #expect(comparison.notes.contains { $0.hasPrefix("the machine is not what it was") })
    for line in comparison.text.split(separator: "\n") { #expect(line.count <= 80, "\(line)") }
  }

  /// Two results of one build, as they were: a fifth more or less is what the machine did.
  @Test func aBuildDoesNotDifferFromItself() {
    for scale in [0.86, 1.18] {
      let comparison = CostComparison(.sample(), .sample(scale))
      #expect(comparison.lines.allSatisfy { !$0.isWorse && !$0.isBetter }, "\(comparison.text)")
      #expect(comparison.lines.contains { $0.interval.lowerBound > 1 || $0.interval.upperBound < 1 })
      #expect(comparison.text.contains("0 slower, 0 faster"))
      #expect(comparison.text.contains("bpf 1.20×, swift 1.20×"))
    }
    // Of a few nanoseconds one or two more are none, whatever their ratio.
    var (old, new) = (CostReport.sample(), CostReport.sample())
    for (report, ns) in [(0, 4.0), (1, 6.0)] {
      let samples = [Double](repeating: ns, count: 5)
      if report == 0 { old.steps[0].samples = samples } else { new.steps[0].samples = samples }
      if report == 0 { old.steps[0].nsPerPacket = CostReport.Figure(samples)! }
      if report == 1 { new.steps[0].nsPerPacket = CostReport.Figure(samples)! }
    }
    #expect(CostComparison(old, new).lines.allSatisfy { !$0.isWorse })
  }

  /// Builds by turns: the machine's changes are in both, and what is left is the builds'.
  @Test func turnsTakeTheMachineOutOfAComparison() {
    func blocks(_ change: Double, wobble: Double = 0.01) -> [CostAgainst.Block] {
      [1, 1.6, 0.8, 1.1].map { machine in
        CostAgainst.Block(
          other: [.sample(machine), .sample(machine * (1 + wobble))],
          own: [.sample(machine * change), .sample(machine * change * (1 - wobble))])
      }
    }
    let same = CostComparison(blocks(1))
    #expect(same.lines.count == CostReport.sample().steps.count)
    #expect(same.lines.allSatisfy { !$0.isWorse && !$0.isBetter }, "\(same.text)")
    // Less than two results taken at different times could tell.
    let slower = CostComparison(blocks(1.1))
    #expect(slower.lines.contains { $0.part == .swift && $0.isWorse && $0.exceeds(5, drift: nil) })
    #expect(slower.lines.filter { $0.before > 30 }.allSatisfy { $0.isWorse }, "\(slower.text)")
    #expect(!slower.lines.contains { $0.exceeds(15, drift: nil) })
    #expect(CostComparison(blocks(0.9)).lines.contains { $0.isBetter })
    // Builds that differ as much from themselves do not differ.
    let noisy = CostComparison(blocks(1.1, wobble: 0.15))
    #expect(noisy.lines.allSatisfy { !$0.isWorse && !$0.isBetter }, "\(noisy.text)")
    for line in slower.text.split(separator: "\n") { #expect(line.count <= 80, "\(line)") }
    // Two pairs support nothing.
    let few = CostComparison(Array(blocks(2).prefix(2)))
    #expect(few.notes.contains { $0.hasPrefix("fewer than") } && few.lines.allSatisfy { !$0.isWorse })
  }

  @Test func whatItsSpreadHidesIsNotCompared() {
    var new = CostReport.sample()
    new.steps[1].nsPerPacket = CostReport.Figure([1, 90, 2, 80, 1, 99])!
    let comparison = CostComparison(.sample(), new)
    #expect(comparison.lines.count == new.steps.count - 1)
    #expect(comparison.notes.count == 1)
  }
}

/// The rungs themselves: that each does what its name says, whatever it takes.
@Suite(.serialized)
struct RungTests {
  @Test(.enabled(if: mayUseKernel, "\(needsRoot)")) func everyProgramRunsAndEveryWayIsTheOneItSays() throws {
    let steps = try NetworkNamespace.makeAnonymous().run {
      var ladder = Ladder()
      try BPFRungs(tables: [1, 1000], sizes: [64, 1400], times: 64).add(to: &ladder)
      return try ladder.measure(rounds: 1) { _ in }
    }
    #expect(Set(steps.map(\.step)).isSuperset(of: ["parse", "encapsulate", "decapsulate", "hit, looked up"]))
    #expect(steps.filter { $0.step.hasPrefix("kernel: ") }.count == CostFrames.odd.count)
    #expect(Set(steps.map(\.conditions.ipVersion)) == [nil, 4, 6])
    // Under the same conditions no two steps are one.
    for (index, step) in steps.enumerated() { #expect(steps.firstIndex(where: step.isSame) == index) }
  }

  @Test(.enabled(if: mayUseKernel, "\(needsRoot)")) func theStepsAreTheTiersOwnPaths() throws {
    try NetworkNamespace.makeAnonymous().run {
      let programs = try CostPrograms(entries: 100)
      for (step, verdict, frame) in [
        (.port, .forwardedEncapsulated, CostFrames.inner()),
        (.uplink, .forwardedDecapsulated, CostFrames.outer(.v6, bytes: 512)),
      ] as [(CostPrograms.Step, FastPath.Verdict, [UInt8])] {
        for destinations in [CostPrograms.Destinations.one, .all] {
          let before = try programs.counts(of: step)[verdict, default: 0]
          _ = try programs.run(step, over: frame, times: 1000, destinations: destinations)
          let counts = try programs.counts(of: step)
          let after = counts[verdict, default: 0]
          // All but those that keep the kernel's entries from ageing: one per address.
          #expect(after - before >= 1000 - 102, "\(step) \(destinations): \(counts)")
        }
      }
    }
  }

  @Test(arguments: [CostFrames.IP.v4, .v6], [62, 63, 64, 127, 512, 1400])
  func theReferenceInCDoesTheSame(ip: CostFrames.IP, bytes: Int) {
    var tunnels = CostPrograms.tunnels(3)
    // With an outer UDP checksum; DSCP, TTL and DF from within.
    tunnels[1].flags = 1
    tunnels[2].flags = 2 | 4 | 8
    let burst = BurstInMemory(CostFrames.inner(ip, bytes: bytes), count: 7, tunnels: tunnels)
    func memory() -> [[UInt8]] {
      burst.offsets.map {
        Array(UnsafeRawBufferPointer(start: burst.memory + Int($0) - 50, count: 50 + bytes))
      }
    }
    for step in BurstInMemory.Step.allCases {
      guard let reference = burst.reference(step) else { continue }
      let mine = burst.run(step, turns: 3)
      let left = memory()
      #expect(mine == reference(3), "\(step)")
      #expect(left == memory(), "\(step)")
      #expect(step == .touch || mine != 0)
    }
    // Written outer headers, and a checksum that was completed.
    #expect(memory().allSatisfy { $0[12] == 8 && $0[14] == 0x45 && $0[23] == 17 })
  }
}

/// The command as a user has it.
@Suite(.serialized, .enabled(if: mayUseKernel, "\(needsRoot)"))
struct CostCommandTests {
  private static var binary: String {
    let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    return "\(folder.path)/.build/\(Build.isDebug ? "debug" : "release")/culvert"
  }

  private func culvert(_ arguments: String) throws -> (status: Int32, output: String) {
    let output = try shell(
      "bash", "-c", "\(Self.binary) cost \(arguments) 2>&1; echo \"status $?\"")
    let words = output.split(separator: "status ")
    return (Int32(words.last!.trimmingCharacters(in: .whitespacesAndNewlines))!, output)
  }

  @Test func aResultComparesWithItselfAndAThresholdIsMissedByAFasterOne() throws {
    let file = FileManager.default.temporaryDirectory.appendingPathComponent("culvert-cost-\(UUID()).json")
    let page = file.path + ".html"
    defer {
      try? FileManager.default.removeItem(at: file)
      try? FileManager.default.removeItem(atPath: page)
    }
    let ladder = "--parts bpf,swift --entries 1,1000 --rounds 3"
    let first = try culvert("\(ladder) --json \(file.path) --html \(page)")
    #expect(first.status == 0, "\(first.output)")
    let again = try shell(Self.binary, "report", file.path)
    #expect(again.contains("tier afxdp's forwarder") && first.output.contains(again))
    var report = try CostReport.decoded(Data(contentsOf: file))
    #expect(report.steps.contains { $0.part == .bpf } && report.steps.contains { $0.part == .swift })
    #expect(Outline(try Data(contentsOf: URL(fileURLWithPath: page))).failure == nil)
    // As if everything had once cost next to nothing: whatever this machine takes, it takes more.
    for index in report.steps.indices where report.steps[index].nsPerPacket.median > 2 {
      report.steps[index].samples = [0.001, 0.001, 0.001]
      report.steps[index].nsPerPacket = CostReport.Figure(report.steps[index].samples)!
    }
    try report.encoded().write(to: file)
    // A part of the ladder again is compared with that part of the result.
    let compared = "--rounds 3 --compare \(file.path) --entries 1 --parts"
    let second = try culvert("\(compared) bpf --fail-above 100")
    #expect(second.status == 2, "\(second.output)")
    #expect(second.output.contains("above --fail-above: xdp encapsulate"))
    #expect(try culvert("\(compared) swift --fail-above 100").status == 2)
    let noLimit = try culvert("\(compared) swift")
    #expect(noLimit.status == 0 && noLimit.output.contains(" slower"), "\(noLimit.output)")
    let turns = "--parts swift --rounds 1 --blocks 3 --against"
    let itself = try culvert("\(turns) \(Self.binary)")
    #expect(itself.status == 0 && itself.output.contains("no difference"), "\(itself.output)")
    #expect(itself.output.contains("noise floor, within which nothing is a difference: swift "))
    let nobody = try culvert("\(turns) /bin/false")
    #expect(nobody.status == 1 && nobody.output.contains("/bin/false"), "\(nobody.output)")
    // An interrupted run leaves an earlier result as it was.
    let kept = try Data(contentsOf: file)
    _ = try shell("sh", "-c", "timeout -s INT 1 \(Self.binary) cost --json \(file.path) 2>&1; test $? = 124")
    #expect(try Data(contentsOf: file) == kept)
  }

  @Test(arguments: [
    ("--parts bpf,nothing", Int32(64)), ("--entries 0", 64), ("--fail-above 5", 64),
    ("--compare /nowhere/old.json", 1), ("--peer vpp", 64), ("--networks xdp", 64),
    ("--parts swift --json /nowhere/new.json", 1), ("--against /bin/true --json x.json", 64),
    ("--against /nowhere/culvert", 1), ("--against /bin/true --blocks 0", 64),
  ])
  func whatCannotBeDoneIsSaidAtOnce(arguments: String, status: Int32) throws {
    let run = try culvert(arguments)
    #expect(run.status == status, "\(run.output)")
    #expect(run.output.lowercased().contains("error"))
  }
}
