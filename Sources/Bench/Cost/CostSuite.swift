// SPDX-License-Identifier: Apache-2.0
import FastPath
import LinuxSystem

/// Measures the ladder: single steps on one CPU, then whole hosts.
public struct CostSuite {
  public var parts: [CostReport.Part]
  public var rounds: Int
  public var isQuick: Bool
  /// Of the table in part `bpf`.
  public var tables: [UInt32]
  public var isInterrupted: () -> Bool = { false }

  public struct Interrupted: Error {}

  public init(parts: [CostReport.Part], rounds: Int, isQuick: Bool, tables: [UInt32]) {
    self.parts = parts
    self.rounds = rounds
    self.isQuick = isQuick
    self.tables = tables
  }

  /// In a namespace of its own, which goes with the call.
  public func run(_ progress: LiveProgress) throws -> CostReport {
    var report = CostReport(environment: .init(machine: .read(), rounds: rounds))
    defer { progress.clear() }
    if parts.contains(where: { $0 != .path }) {
      report.steps += try NetworkNamespace.makeAnonymous().run { try steps(progress) }
    }
    if parts.contains(.path) { report.steps += try hosts(progress) }
    return report
  }

  private func steps(_ progress: LiveProgress) throws -> [CostReport.Step] {
    try CPU.pin(to: 0)
    var ladder = Ladder()
    if parts.contains(.bpf) {
      progress.show(
        0, of: rounds, "filling tables of up to \(Quantity.count(Int(tables.max() ?? 0))) entries")
      try BPFRungs(tables: tables).add(to: &ladder)
    }
    if parts.contains(.swift) { BurstRungs().add(to: &ladder) }
    return try ladder.measure(rounds: rounds) { round in
      if isInterrupted() { throw Interrupted() }
      progress.show(round, of: rounds, "\(ladder.rungs.count) steps by turns")
    }
  }

  private func hosts(_ progress: LiveProgress) throws -> [CostReport.Step] {
    let plan = try Plan(CostPath.request(quick: isQuick), tiers: Tier.allCases.map(\.rawValue))
    let arena = LabArena(
      LabArena.Settings(
        duration: plan.duration, warmUp: plan.warmUp, asShipped: false, searchSteps: plan.searchSteps,
        searchDuration: plan.searchDuration),
      drivers: Tier.allCases.map { .fastPath($0, bypassPolicy: false, wait: .adaptive) })
    var campaign = Campaign(
      schedule: Schedule(baseline: plan.baseline, networks: plan.networks),
      cells: plan.cells.filter { !isQuick || !$0.measure.isSearch }, repeats: plan.repeats,
      searchRepeats: 3, measuresCost: !isQuick, arena: arena)
    // Steps need no pairs: a machine that is never quiet shows in their intervals.
    campaign.budget = isQuick ? 60 : 200
    campaign.isInterrupted = isInterrupted
    campaign.onProgress = { progress.show($0) }
    var report = ABReport(
      environment: ABReport.Environment(machine: .read(), baseline: "tuned", offloads: [:]),
      settings: ABReport.Settings(
        repeats: plan.repeats, durationS: plan.duration, pinning: [:],
        baselineNetwork: plan.baseline.description, networks: plan.networks.map(\.description)))
    do { try campaign.run(&report) } catch {
      try? arena.close()
      throw error
    }
    try arena.close()
    if !report.complete { throw Interrupted() }
    for result in report.results {
      if let reason = result.failed { throw Failure("measure", result.network, advice: reason) }
    }
    return CostPath.steps(report)
  }
}
