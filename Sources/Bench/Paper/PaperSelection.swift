// SPDX-License-Identifier: Apache-2.0
import LinuxSystem

/// Which experiments are run, and how.
public struct PaperSelection: Sendable {
  public var experiments: [PaperExperiment]
  public var isQuick: Bool
  /// The last one is the paper's: off, where both are measured.
  public var offloads: [Offloads]
  public var placement: Placement

  /// Seconds that a quick one takes at most, without what surrounds it.
  static let quickBudget = 1050.0

  /// - Parameter ids: of experiments; none is all.
  public init(
    _ ids: [String], isQuick: Bool, offloads: [Offloads] = [.off], placement: Placement = .twoCore
  ) throws(Failure) {
    let all = PaperExperiment.all
    var chosen: [PaperExperiment] = []
    for id in ids.isEmpty ? all.map(\.id) : ids {
      guard let one = all.first(where: { $0.id == id }) else {
        throw Failure(
          "repeat experiment", id, advice: "Known: \(all.map(\.id).joined(separator: " ")).", status: .usage)
      }
      if !chosen.contains(where: { $0.id == id }) { chosen.append(one) }
    }
    experiments = chosen
    self.isQuick = isQuick
    self.offloads = offloads
    self.placement = placement
  }

  func cells(of experiment: PaperExperiment) -> [(cell: Cell, networks: [Network])] {
    experiment.cells(isQuick: isQuick, offloads: offloads, placement: placement)
  }

  /// Each row once, with the networks of all experiments that share it.
  public func plan(repeats: Int?, duration: Double?) throws(Failure) -> Plan {
    var choice: [(cell: Cell, networks: [Network])] = []
    for one in experiments.flatMap(cells) {
      if let index = choice.firstIndex(where: { $0.cell == one.cell }) {
        choice[index].networks += one.networks.filter { !choice[index].networks.contains($0) }
      } else {
        choice.append(one)
      }
    }
    let repeats = repeats ?? (isQuick ? 9 : 12)
    let duration = duration ?? (isQuick ? 0.15 : 0.5)
    guard repeats > 0, duration > 0, duration <= 60 else {
      throw Failure(
        "repeat", "experiments with \(repeats) repeats of \(duration) s",
        advice: "At least one, of at most 60 s.",
        status: .usage)
    }
    var plan = Plan(
      baseline: Network(known: PaperExperiment.baseline), choice: choice, repeats: repeats,
      duration: duration,
      isQuick: isQuick)
    plan.budget = isQuick ? Self.quickBudget : nil
    return plan
  }
}
