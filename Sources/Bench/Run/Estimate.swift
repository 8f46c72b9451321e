// SPDX-License-Identifier: Apache-2.0

/// How long a comparison will take, told before it begins: what is waited for, and what surrounds it, as it was
/// measured on two virtual CPUs. Passes that a change of the machine's state spoils come on top.
public struct Estimate: Sendable {
  public var trials: Int
  public var seconds: Double

  /// Resolving addresses and probing the CPUs' distance.
  private static let around = 0.06
  /// Setting the generator of live frames up, and letting the path drain.
  private static let liveFrames = 0.1
  /// Attaching and detaching a tier.
  private static let toggle = 0.25
  /// The correctness gate, by network and offloads.
  private static let gate = 0.9
  private static let lab = 0.4
  /// Making a container, and what its lab is asked before and after.
  private static let launch = 0.15
  /// Calibrating the CPU meter.
  private static let meter = 0.4

  /// - Parameter isHeld: cells that an earlier run has measured.
  public init(_ plan: Plan, isHeld: (Cell) -> Bool = { _ in false }) {
    let cells = plan.cells.filter { !isHeld($0) }
    trials = 0
    seconds = 0
    for cell in cells {
      let taking = plan.networks(of: cell)
      let schedule = plan.schedule(of: taking)
      let pass = schedule.pass(0).trials.filter { $0.reasonToSkip(cell) == nil }
      let toggles = Double(pass.count { $0.driver != nil }) * Self.toggle
      let repeats = cell.measure.trials(of: plan.repeats, searches: plan.searchRepeats)
      let once = Self.duration(of: cell, plan)
      trials += pass.count * repeats
      seconds += Double(repeats) * (Double(pass.count) * once + toggles)
      if plan.measuresCost && cell.measure.hasCost {
        let networks = taking.filter { $0.reasonToSkip(cell) == nil }
        trials += networks.count
        seconds += Double(networks.count) * (once + Self.meter) + toggles
      }
    }
    var (gates, labs): (Set<String>, Set<String>) = ([], [])
    for cell in cells {
      for network in plan.networks(of: cell) {
        let lab =
          "\(network.lab) \(network.base == Network.asShipped) \(cell.offloads) \(cell.checksumWord ?? "") "
          + "\(cell.measure.isNotTheOverlays) \(cell.measure.isToService) \(cell.span) \(cell.containers ?? 0) \(cell.measure.isSteered)"
        labs.insert(lab)
        gates.insert("\(lab) \(network) \(network.tier == nil ? Ends.both : cell.ends)")
      }
    }
    seconds += Double(gates.count) * Self.gate + Double(labs.count) * Self.lab
  }

  private static func duration(of cell: Cell, _ plan: Plan) -> Double {
    if cell.measure.isSearch {
      return around + Double(plan.searchSteps) * (plan.searchDuration + 0.02 + liveFrames)
    }
    if cell.measure == .launch { return launch }
    if cell.measure.isSteered { return around + meter + plan.warmUp + plan.duration }
    return around + plan.warmUp + plan.duration + (cell.measure.isLiveFrames ? liveFrames : 0)
  }

  /// "about 2 min 40 s"
  public var text: String {
    let whole = Int(seconds.rounded(.up))
    return switch whole {
    case ..<60: "about \(max(1, whole)) s"
    case ..<3600: "about \(whole / 60) min \(whole % 60 / 10 * 10) s"
    default: "about \(whole / 3600) h \(whole % 3600 / 60) min"
    }
  }
}
