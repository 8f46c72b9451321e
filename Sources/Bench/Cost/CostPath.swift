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
  public static var names: [String] { all.map(\.description) }

  /// The kernel's is always there: all others are compared with it.
  var networks: [Network] {
    Self.all.filter { network in
      if network == .testpmd { return withTestPMD }
      return network == Self.kernel || only.map { $0.contains(network.description) } ?? true
    }
  }

  private static let bytes = 64

  var cells: [Cell] {
    let kinds = PacketDirection.allCases.flatMap { direction in
      [(Measure.packetRate(direction), 1)] + runs.map { (.packetRateByTurns(direction, run: $0), containers) }
        + (isQuick
          ? [] : [(.noDropRate(direction), 1)] + loads.map { (.frameDelay(direction, percent: $0), 1) })
    }
    return kinds.map { measure, flows in
      Cell(measure: measure, size: Self.bytes, offloads: .on, placement: .oneCore, flows: flows)
    }
  }

  func measure(
    isInterrupted: @escaping () -> Bool, onProgress: @escaping (Campaign.Progress) -> Void
  ) throws -> [CostReport.Step] {
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
    for result in report.results {
      if let reason = result.failed { throw Failure("measure", result.network, advice: reason) }
    }
    return steps(report)
  }

  /// The steps of a comparison of these networks.
  func steps(_ report: ABReport) -> [CostReport.Step] {
    PacketDirection.allCases.flatMap { direction in
      ([nil] + runs).flatMap { run in
        networks.compactMap {
          HostStep(report, $0, direction, containers: run == nil ? 1 : containers, run)?.step
        }
      }
    }
  }
}

/// One network of a comparison, in one direction, as a step.
private struct HostStep {
  let step: CostReport.Step

  /// - Parameter run: of turns; nil: one container has all.
  init?(
    _ report: ABReport, _ network: Network, _ direction: PacketDirection, containers: Int, _ run: Int?
  ) {
    let alone = Measure.packetRate(direction)
    let measure = run.map { Measure.packetRateByTurns(direction, run: $0) } ?? alone
    func samples(of network: Network, _ measure: Measure) -> [Double] {
      Self.result(report, network, measure)?.samples.filter { $0 > 0 } ?? []
    }
    let own = samples(of: network, measure)
    guard let result = Self.result(report, network, measure),
      let figure = CostReport.Figure(own.map { 1e9 / $0 })
    else { return nil }
    let packets = result.samples.reduce(0) { $0 + $1 * report.settings.durationS }
    var step = CostReport.Step(
      part: .path, tier: result.network, step: direction.rawValue,
      conditions: CostReport.Conditions(
        bytes: result.size, containers: run == nil ? nil : containers, run: run),
      nsPerPacket: figure,
      packets: Int(packets), samples: own.map { 1e9 / $0 })
    step.packetsPerSecond = result.median
    step.cpuNsPerPacket = result.cpuNsPerPacket
    step.packetsPerBurst = result.tier?.packetsPerBurst
    step.callsPerPacket = result.tier?.callsPerPacket
    if run == nil {
      step.ndrPacketsPerSecond = Self.result(report, network, .noDropRate(direction))?.median
      step.delays = Self.delays(report, network, direction)
    } else {
      step.timesOneContainer = CostReport.Figure(ratioOf: samples(of: network, alone), to: own)
    }
    let others = [Network(base: "bare"), .redirect, .testpmd, CostPath.kernel].filter { $0 != network }
    step.timesFaster = others.compactMap { other in
      CostReport.Figure(ratioOf: own, to: samples(of: other, measure)).map {
        CostReport.Ratio(than: other.description, figure: $0)
      }
    }
    self.step = step
  }

  private static func result(
    _ report: ABReport, _ network: Network, _ measure: Measure
  ) -> ABReport.Result? {
    report.results.first {
      $0.network == network.description && $0.workload == measure.workload && $0.metric == measure.metric
    }
  }

  private static func delays(
    _ report: ABReport, _ network: Network, _ direction: PacketDirection
  ) -> [CostReport.Delay]? {
    let delays = (1...100).compactMap { percent -> CostReport.Delay? in
      let measure = Measure.frameDelay(direction, percent: percent)
      guard let result = result(report, network, measure), let times = result.latencyUs else { return nil }
      return CostReport.Delay(
        percentOfNdr: percent, p50Us: times["p50"] ?? 0, p90Us: times["p90"] ?? 0, p99Us: times["p99"] ?? 0,
        maxUs: times["max"] ?? 0, lostFraction: result.lostFraction ?? 0)
    }
    return delays.isEmpty ? nil : delays
  }
}
