// SPDX-License-Identifier: Apache-2.0
import LinuxSystem

/// Measures the ladder: single steps on one CPU, then whole hosts.
public struct CostSuite {
  public var parts: [CostReport.Part]
  public var rounds: Int
  public var path: CostPath
  /// Of the table in part `bpf`.
  public var tables: [UInt32]
  public var isInterrupted: () -> Bool = { false }

  public struct Interrupted: Error {}

  public init(parts: [CostReport.Part], rounds: Int, path: CostPath, tables: [UInt32]) {
    self.parts = parts
    self.rounds = rounds
    self.path = path
    self.tables = tables
  }

  /// In a namespace of its own, which goes with the call.
  public func run(_ progress: LiveProgress) throws -> CostReport {
    var report = CostReport(environment: .init(machine: .read(), rounds: rounds))
    defer { progress.clear() }
    if parts.contains(where: { $0 != .path }) {
      report.steps += try NetworkNamespace.makeAnonymous().run { try steps(progress) }
    }
    if parts.contains(.path) {
      let hosts = try path.measure(isInterrupted: isInterrupted) { progress.show($0) }
      report.steps += hosts.steps
      if !hosts.failures.isEmpty { report.failures = hosts.failures }
    }
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
    if parts.contains(.swift) { try BurstRungs().add(to: &ladder) }
    let counters = HardwareCounters()
    return try ladder.measure(rounds: rounds, counters: counters.map { counters in { counters.read() } }) {
      round in
      if isInterrupted() { throw Interrupted() }
      progress.show(round, of: rounds, "\(ladder.rungs.count) steps by turns")
    }
  }
}
