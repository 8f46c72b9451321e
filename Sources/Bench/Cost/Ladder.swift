// SPDX-License-Identifier: Apache-2.0

/// One step, measured with all below it.
struct Rung {
  var part: CostReport.Part
  var tier: String
  var step: String
  var conditions = CostReport.Conditions()
  /// Packets per sample.
  var packets: Int
  /// Nanoseconds per packet.
  var run: () throws -> Double
  /// The same step in C.
  var reference: (() throws -> Double)?
  /// What of other rungs is no part of the step: the harness, what undoes it. Positions in the ladder.
  var minus: [(rung: Int, share: Double)] = []
  /// The rung that it adds to.
  var above: Int?
  /// Measured for others' sake: not shown.
  var isHelper = false
}

/// Measures rungs by turns, so that whatever the machine does it does to all of them.
struct Ladder {
  private(set) var rungs: [Rung] = []

  /// Of one run, per packet.
  private struct Sample {
    var ns: Double
    var instructions: Double?
    var cycles: Double?
  }

  @discardableResult
  mutating func add(_ rung: Rung) -> Int {
    rungs.append(rung)
    return rungs.count - 1
  }

  /// - Parameters:
  ///   - counters: what this thread executed so far; nil where the CPU does not count.
  ///   - progress: told how many rounds are done; throws to end it.
  func measure(
    rounds: Int, counters: (() -> HardwareCounters.Counts?)? = nil, progress: (Int) throws -> Void
  ) throws -> [CostReport.Step] {
    var raw = [[Sample]](repeating: [], count: rungs.count)
    var references = [[Double]](repeating: [], count: rungs.count)
    // Caches, branch predictors and clocks settle in a round that does not count.
    for round in -1..<rounds {
      try progress(max(0, round))
      let order = round % 2 == 0 ? Array(rungs.indices) : rungs.indices.reversed()
      for index in order {
        // Whichever of two goes second finds the data in the cache: they take it by turns.
        let isFirst = round % 2 == 0
        let early = isFirst ? nil : try rungs[index].reference?()
        let own = try sample(rungs[index], counters)
        let late = isFirst ? try rungs[index].reference?() : nil
        guard round >= 0 else { continue }
        raw[index].append(own)
        if let other = early ?? late { references[index].append(other) }
      }
    }
    return rungs.indices.compactMap { step($0, raw, references[$0], rounds: rounds) }
  }

  private func sample(_ rung: Rung, _ counters: (() -> HardwareCounters.Counts?)?) throws -> Sample {
    let before = counters?()
    var sample = Sample(ns: try rung.run())
    if let before, let after = counters?() {
      let packets = Double(rung.packets)
      sample.instructions = Double(after.instructions - before.instructions) / packets
      sample.cycles = Double(after.cycles - before.cycles) / packets
    }
    return sample
  }

  /// A rung's figures without what is no part of it; nothing where a round lacks one.
  private func net(_ index: Int, _ raw: [[Sample]], _ figure: (Sample) -> Double?) -> [Double] {
    let rounds = raw[index].indices.compactMap { round -> Double? in
      guard let own = figure(raw[index][round]) else { return nil }
      return rungs[index].minus.reduce(own) { rest, part in
        rest - part.share * (figure(raw[part.rung][round]) ?? 0)
      }
    }
    return rounds.count == raw[index].count ? rounds : []
  }

  private func step(
    _ index: Int, _ raw: [[Sample]], _ references: [Double], rounds: Int
  ) -> CostReport.Step? {
    let rung = rungs[index]
    let samples = net(index, raw, \.ns)
    guard !rung.isHelper, let figure = CostReport.Figure(samples) else { return nil }
    var step = CostReport.Step(
      part: rung.part, tier: rung.tier, step: rung.step, conditions: rung.conditions, nsPerPacket: figure,
      packets: rung.packets * rounds, samples: samples)
    if let above = rung.above {
      step.adds = CostReport.Figure(zip(samples, net(above, raw, \.ns)).map { $0 - $1 })
      step.above = rungs[above].step
    }
    step.referenceNs = Statistics.median(references)
    step.referenceRatio = CostReport.Figure(
      zip(raw[index], references).filter { $0.1 > 0 }.map { $0.ns / $1 })
    step.instructionsPerPacket = CostReport.Figure(net(index, raw, \.instructions))
    step.cyclesPerPacket = CostReport.Figure(net(index, raw, \.cycles))
    return step
  }
}
