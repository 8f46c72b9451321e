// SPDX-License-Identifier: Apache-2.0
import LinuxSystem

/// Runs the trials of a comparison in their order and gathers the report.
public struct Campaign {
  public var schedule: Schedule
  public var cells: [Cell]
  /// Pairs per comparison.
  public var repeats: Int
  /// Pairs of the search for the loss-free rate, each of which is many short trials.
  public var searchRepeats: Int
  /// Also measure the CPU time per packet, in trials of their own.
  public var measuresCost: Bool
  /// Seconds for the whole: each cell repeats what a change of the machine's state spoilt while its part of
  /// them lasts. nil: up to as many passes again as it has repeats.
  public var budget: Double?
  public var arena: any Arena
  /// Which of the networks take part in a cell; the baseline always does.
  public var takesPart: (Network, Cell) -> Bool = { _, _ in true }
  /// Asked between trials.
  public var isInterrupted: () -> Bool = { false }
  public var onProgress: (Progress) -> Void = { _ in }
  /// After each cell: what is known so far.
  public var onCell: (ABReport) throws -> Void = { _ in }

  public init(
    schedule: Schedule, cells: [Cell], repeats: Int, searchRepeats: Int, measuresCost: Bool, arena: any Arena
  ) {
    self.schedule = schedule
    self.cells = cells
    self.repeats = repeats
    self.searchRepeats = searchRepeats
    self.measuresCost = measuresCost
    self.arena = arena
  }

  public init(_ plan: Plan, on arena: any Arena) {
    self.init(
      schedule: plan.schedule, cells: plan.cells, repeats: plan.repeats, searchRepeats: plan.searchRepeats,
      measuresCost: plan.measuresCost, arena: arena)
    budget = plan.budget
    takesPart = { plan.takesPart($0, $1) }
  }

  public struct Progress: Sendable {
    public var done: Int
    public var planned: Int
    public var what: String
  }

  private struct Interrupted: Error {}

  private func repeats(of cell: Cell) -> Int {
    cell.measure.trials(of: repeats, searches: searchRepeats)
  }

  private func schedule(of cell: Cell) -> Schedule {
    schedule.of(schedule.others.filter { takesPart($0, cell) })
  }

  private func networks(of cell: Cell) -> [Network] {
    [schedule.baseline] + schedule.others.filter { takesPart($0, cell) }
  }

  private func planned(_ cells: [Cell]) -> Int {
    cells.reduce(0) { sum, cell in
      sum + repeats(of: cell) * schedule(of: cell).passLength + (costs(cell) ? networks(of: cell).count : 0)
    }
  }

  private func costs(_ cell: Cell) -> Bool { measuresCost && cell.measure.hasCost }

  /// Fills in results, comparisons and noise floors; rows that the report holds already are kept as they are.
  /// Returns what it has when interrupted, `complete` false.
  public func run(_ report: inout ABReport) throws {
    let cells = cells.filter { !report.holds($0, of: networks(of: $0)) }
    var distances: [Double] = []
    var progress = Progress(done: 0, planned: planned(cells), what: "")
    let start = Clock.monotonicNanoseconds
    do {
      for (index, cell) in cells.enumerated() {
        let until = budget.map { budget in
          start + UInt64(budget * 1e9 * Double(index + 1) / Double(cells.count))
        }
        try run(cell, spareUntil: until ?? .max, &report, &distances, &progress)
        try onCell(report)
      }
      report.complete = true
    } catch is Interrupted {
      report.complete = false
    }
    try onCell(report)
  }

  /// What an interruption left of the cell is reported as well.
  private func run(
    _ cell: Cell, spareUntil: UInt64, _ report: inout ABReport, _ distances: inout [Double],
    _ progress: inout Progress
  ) throws {
    var seen = Observations(cell: cell)
    var isWhole = false
    defer { close(seen, isWhole, distances, &report) }
    try admit(&seen, &report, &progress)
    try measure(&seen, spareUntil: spareUntil, &distances, &progress)
    if costs(cell) { try measureCost(&seen, &progress) }
    isWhole = true
  }

  private func step(_ progress: inout Progress, _ what: String) throws {
    if isInterrupted() { throw Interrupted() }
    progress.what = what
    onProgress(progress)
  }

  /// Skips and gates: a network that fails the gate gets no timing.
  private func admit(_ seen: inout Observations, _ report: inout ABReport, _ progress: inout Progress) throws
  {
    for network in networks(of: seen.cell) {
      if let reason = arena.reasonToSkip(network, seen.cell) {
        seen.skipped[network] = reason
        continue
      }
      try step(&progress, "\(network): checking that traffic gets through unchanged")
      do {
        let gate = try arena.gate(network, seen.cell)
        if !report.gates.contains(gate) { report.gates.append(gate) }
        if !gate.passed { seen.failed[network] = "correctness gate: \(gate.summary)" }
      } catch {
        seen.failed[network] = error.description.replacing("\n ", with: ":")
      }
    }
  }

  /// Passes until every network has its pairs. What a change of the machine's state spoilt is repeated with the
  /// networks that lack pairs, as often as there are spare passes.
  private func measure(
    _ seen: inout Observations, spareUntil: UInt64, _ distances: inout [Double], _ progress: inout Progress
  ) throws {
    let repeats = repeats(of: seen.cell)
    defer { seen.keepWhatThereIs(wanted: min(repeats, RatioEstimate.pairsForVerdict)) }
    for index in 0..<2 * repeats {
      var schedule = schedule(of: seen.cell)
      if index >= repeats {
        let lacking = networks(of: seen.cell).filter {
          !seen.isOut($0) && seen.pairs[$0, default: []].count < repeats
        }
        guard !lacking.isEmpty, Clock.monotonicNanoseconds < spareUntil else { return }
        schedule = schedule.of(lacking)
        progress.planned += schedule.passLength
      }
      let pass = schedule.pass(index)
      var samples: [Sample?] = []
      var around: [Double?] = [try arena.distance()]
      for network in pass.trials {
        try step(&progress, "\(ABTable.label(seen.cell.row)): \(network)\(seen.soFar(network))")
        var sample: Sample?
        if !seen.isOut(network) {
          do { sample = try arena.trial(network, seen.cell) } catch {
            seen.failed[network] = error.description.replacing("\n ", with: ":")
          }
        }
        samples.append(sample)
        around.append(try arena.distance())
        progress.done += 1
      }
      distances += around.compactMap { $0 }
      let flipped = (pass.pairs + pass.tierPairs).filter { StateFlip.happened(in: $0.span, distances: around) }
      seen.add(pass, samples, flipped: flipped)
    }
  }

  private func measureCost(_ seen: inout Observations, _ progress: inout Progress) throws {
    for network in networks(of: seen.cell) {
      try step(&progress, "\(ABTable.label(seen.cell.row)): CPU time of \(network)")
      if !seen.isOut(network) {
        do { seen.costs[network] = try arena.trialWithCost(network, seen.cell) } catch {
          seen.failed[network] = error.description.replacing("\n ", with: ":")
        }
      }
      progress.done += 1
    }
  }

  private func close(
    _ seen: Observations, _ isWhole: Bool, _ distances: [Double], _ report: inout ABReport
  ) {
    let networks = networks(of: seen.cell)
    let started = networks.contains { seen.samples[$0] != nil || seen.isOut($0) }
    guard started else { return }
    for network in networks {
      var result = seen.result(of: network, tier: arena.tier(of: network))
      if !isWhole { result.interrupted = true }
      report.results.append(result)
      if network != schedule.baseline, let comparison = seen.comparison(of: network, with: schedule.baseline)
      {
        report.comparisons.append(comparison)
      }
    }
    report.comparisons += networks.compactMap { seen.comparisonWithKernel(of: $0, baseline: schedule.baseline) }
    if let noise = seen.noiseFloor(of: schedule.baseline) { report.noiseFloor.append(noise) }
    report.environment.cpuDistanceNs = Statistics.median(distances) ?? report.environment.cpuDistanceNs
    let range = distances + (report.environment.cpuDistanceRangeNs ?? [])
    if let low = range.min(), let high = range.max() { report.environment.cpuDistanceRangeNs = [low, high] }
  }
}
