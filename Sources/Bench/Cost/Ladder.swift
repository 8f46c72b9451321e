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

  @discardableResult
  mutating func add(_ rung: Rung) -> Int {
    rungs.append(rung)
    return rungs.count - 1
  }

  /// - Parameter progress: told how many rounds are done; throws to end it.
  func measure(rounds: Int, progress: (Int) throws -> Void) throws -> [CostReport.Step] {
    var raw = [[Double]](repeating: [], count: rungs.count)
    var references = raw
    // Caches, branch predictors and clocks settle in a round that does not count.
    for round in -1..<rounds {
      try progress(max(0, round))
      let order = round % 2 == 0 ? Array(rungs.indices) : rungs.indices.reversed()
      for index in order {
        // Whichever of two goes second finds the data in the cache: they take it by turns.
        let isFirst = round % 2 == 0
        let early = isFirst ? nil : try rungs[index].reference?()
        let own = try rungs[index].run()
        let late = isFirst ? try rungs[index].reference?() : nil
        guard round >= 0 else { continue }
        raw[index].append(own)
        if let other = early ?? late { references[index].append(other) }
      }
    }
    let net = rungs.indices.map { index in
      raw[index].indices.map { round in
        rungs[index].minus.reduce(raw[index][round]) { $0 - $1.share * raw[$1.rung][round] }
      }
    }
    return rungs.indices.compactMap { index in
      let rung = rungs[index]
      guard !rung.isHelper, let figure = CostReport.Figure(net[index]) else { return nil }
      var step = CostReport.Step(
        part: rung.part, tier: rung.tier, step: rung.step, conditions: rung.conditions, nsPerPacket: figure,
        packets: rung.packets * rounds, samples: net[index])
      if let above = rung.above {
        step.adds = CostReport.Figure(zip(net[index], net[above]).map { $0 - $1 })
        step.above = rungs[above].step
      }
      step.referenceNs = Statistics.median(references[index])
      step.referenceRatio = CostReport.Figure(
        zip(raw[index], references[index]).filter { $0.1 > 0 }.map { $0 / $1 })
      return step
    }
  }
}
