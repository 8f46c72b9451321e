// SPDX-License-Identifier: Apache-2.0
import FastPath
import LinuxSystem

/// The device under test as a ladder: what `ab` measures of whole hosts at the highest rate they take, in
/// nanoseconds per packet of the one core that does all the work; and how long frames take at parts of the rate
/// that loses none.
public struct CostPath: Sendable {
  public var isQuick: Bool
  /// Beside the tiers, where it is installed.
  public var withTestPMD = false
  /// By name; nil: all.
  public var only: [String]?
  /// Of each host, taking turns.
  public var containers = 64
  /// Frames that each of them has in its turn: one is the worst there is.
  public var runs = [1, 16]
  /// In the tiers' tables, another of them with each frame.
  public var entries = [1000, 1_000_000]
  /// Of the rate without loss.
  public var loads = [10, 50, 90]

  public init(isQuick: Bool) { self.isQuick = isQuick }

  /// Why the peer cannot run here; nil where it can.
  public static var reasonWithoutTestPMD: String? { TestPMD.reasonToSkip() }

  static let kernel = Network(base: "vxlan")
  private static let tiers = Tier.allCases.map { Network(base: "vxlan", tier: $0.rawValue) }

  /// The raw wire first, the kernel last.
  private static let all =
    [Network(base: "bare"), .redirect] + tiers + [.testpmd, Network(base: "bridge"), kernel]
  /// Of what `only` chooses from.
  public static var names: [String] { all.filter { $0 != .testpmd }.map(\.description) }

  /// The kernel's is always there: all others are compared with it.
  var networks: [Network] {
    Self.all.filter { network in
      if network == .testpmd { return withTestPMD }
      return network == Self.kernel || only.map { $0.contains(network.description) } ?? true
    }
  }

  private static let bytes = 64

  private var rates: [FrameMeasure] {
    [.rate] + runs.map { .rateByTurns(containers: containers, run: $0) }
      + (isQuick ? [] : entries.map { .rateAmong(entries: $0) })
  }

  var cells: [Cell] {
    let frames = rates + (isQuick ? [] : [.noDropRate] + loads.map { .delay(percent: $0) })
    return PacketDirection.allCases.flatMap { direction in
      frames.map {
        Cell(measure: .frames($0, direction), size: Self.bytes, offloads: .on, placement: .oneCore)
      }
    }
  }

  func measure(
    isInterrupted: @escaping () -> Bool, onProgress: @escaping (Campaign.Progress) -> Void
  ) throws -> (steps: [CostReport.Step], failures: [CostReport.Failed]) {
    let duration = isQuick ? 0.2 : 0.3
    let arena = LabArena(
      LabArena.Settings(
        duration: duration, warmUp: duration / 3, asShipped: false, searchSteps: 8, searchDuration: 0.2),
      drivers: Tier.allCases.map { .fastPath($0, bypassPolicy: false, wait: .adaptive) } + [
        .redirect, .testpmd,
      ])
    let repeats = isQuick ? RatioEstimate.pairsForVerdict : 8
    var campaign = Campaign(
      schedule: Schedule(baseline: Self.kernel, networks: networks), cells: cells, repeats: repeats,
      searchRepeats: 3, measuresCost: !isQuick, arena: arena)
    // Steps need no pairs: a machine that is never quiet shows in their intervals.
    campaign.budget = isQuick ? 90 : 400
    campaign.isInterrupted = isInterrupted
    campaign.onProgress = onProgress
    var report = ABReport(
      environment: ABReport.Environment(machine: .read(), baseline: "tuned", offloads: [:]),
      settings: ABReport.Settings(
        repeats: repeats, durationS: duration, pinning: [:], baselineNetwork: Self.kernel.description,
        networks: networks.map(\.description)))
    do { try campaign.run(&report) } catch {
      try? arena.close()
      throw error
    }
    try arena.close()
    if !report.complete { throw CostSuite.Interrupted() }
    return (steps(report), Self.failures(report))
  }

  static func failures(_ report: ABReport) -> [CostReport.Failed] {
    report.results.compactMap { result in
      result.failed.map {
        CostReport.Failed(what: "\(result.network), \(result.workload), \(result.metric)", reason: $0)
      }
    }
  }

  /// The steps of a comparison of these networks.
  func steps(_ report: ABReport) -> [CostReport.Step] {
    PacketDirection.allCases.flatMap { direction in
      rates.flatMap { rate in networks.compactMap { CostReport.Step(report, $0, rate, direction) } }
    }
  }
}
