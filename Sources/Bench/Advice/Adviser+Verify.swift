// SPDX-License-Identifier: Apache-2.0

/// How often an adviser's pick is near the best where it could not see the answer.
public struct AdviceCheck: Sendable, Equatable {
  /// Of sizes between others: picked from the neighbours, judged by the size itself.
  public var sizes = Tally()
  /// Of every row: picked from every other pair of trials, judged by the rest.
  public var trials = Tally()

  public struct Tally: Sendable, Equatable {
    public var asked = 0
    public var near = 0
    /// Of those that were not near: the row, the pick, and its part of the best's speed.
    public var misses: [Miss] = []
  }
  public struct Miss: Sendable, Equatable {
    public var row: String
    public var picked: String
    public var best: String
    public var speed: Double
  }
  /// Within this part of the best's speed a pick is near.
  public static let nearness = 0.95
}

extension Adviser {
  private static let asked: [Measure] = [.tcpStream, .udpStream, .tcpRoundTrip, .udpRoundTrip]

  public func verify() -> AdviceCheck {
    var check = AdviceCheck()
    for measure in Self.asked {
      for isOnOneHost in [false, true] {
        for ladder in ladders(measure, isOnOneHost: isOnOneHost) {
          for (index, row) in ladder.rows.enumerated() {
            if index > 0 && index < ladder.rows.count - 1 {
              let around = [ladder.rows[index - 1], ladder.rows[index + 1]]
              hold(row, ladder, &check.sizes) {
                speed($0, baseline, around, row.size)?.ratio
              } judge: {
                speed($0, baseline, [row], row.size)?.ratio
              }
            }
            let (even, odd) = (half(0), half(1))
            hold(row, ladder, &check.trials) {
              even.speed($0, baseline, [row], row.size)?.ratio
            } judge: {
              odd.speed($0, baseline, [row], row.size)?.ratio
            }
          }
        }
      }
    }
    return check
  }

  private var baseline: String { report.settings.baselineNetwork }

  /// With every other pair of trials alone, from the first or the second on.
  private func half(_ first: Int) -> Adviser {
    var part = report
    part.comparisons = report.comparisons.compactMap { comparison in
      let pairs = (comparison.pairRatios ?? []).enumerated().filter { $0.offset % 2 == first }.map(\.element)
      guard let median = Statistics.median(pairs) else { return nil }
      var half = comparison
      (half.ratio, half.pairRatios) = (median, pairs)
      return half
    }
    return Adviser(part)
  }

  private func hold(
    _ row: Row, _ ladder: Ladder, _ tally: inout AdviceCheck.Tally, pick: (String) -> Double?,
    judge: (String) -> Double?
  ) {
    // The baseline is in only where it is a network for containers.
    let candidates = ladder.networks.filter { Network(known: $0).isolation != nil }
    let known = candidates.compactMap { name -> (name: String, pick: Double, truth: Double)? in
      guard let picked = pick(name), let truth = judge(name) else { return nil }
      return (name, picked, truth)
    }
    guard known.count > 1, let picked = known.max(by: { $0.pick < $1.pick }),
      let best = known.max(by: { $0.truth < $1.truth })
    else { return }
    tally.asked += 1
    if picked.truth >= AdviceCheck.nearness * best.truth {
      tally.near += 1
    } else {
      tally.misses.append(
        AdviceCheck.Miss(
          row: "\(row.title) \(row.conditions)", picked: picked.name, best: best.name,
          speed: picked.truth / best.truth))
    }
  }
}
