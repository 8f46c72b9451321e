// SPDX-License-Identifier: Apache-2.0

extension CostReport.Step {
  /// One network of a comparison, in one direction.
  /// - Parameter rate: with one pair of ends, or several by turns; nil where it was not measured.
  init?(_ report: ABReport, _ network: Network, _ rate: FrameMeasure, _ direction: PacketDirection) {
    func resultOf(_ network: Network, _ frames: FrameMeasure) -> ABReport.Result? {
      let measure = Measure.frames(frames, direction)
      return report.results.first {
        $0.network == network.description && $0.workload == measure.workload && $0.metric == measure.metric
          && $0.failed == nil
      }
    }
    func samples(of network: Network, _ frames: FrameMeasure) -> [Double] {
      resultOf(network, frames)?.samples.filter { $0 > 0 } ?? []
    }
    let own = samples(of: network, rate)
    guard let result = resultOf(network, rate), let figure = CostReport.Figure(own.map { 1e9 / $0 })
    else { return nil }
    let packets = result.samples.reduce(0) { $0 + $1 * report.settings.durationS }
    self.init(
      part: .path, tier: result.network, step: direction.rawValue,
      conditions: CostReport.Conditions(bytes: result.size), nsPerPacket: figure, packets: Int(packets),
      samples: own.map { 1e9 / $0 })
    packetsPerSecond = result.median
    cpuNsPerPacket = result.cpuNsPerPacket
    packetsPerBurst = result.tier?.packetsPerBurst
    callsPerPacket = result.tier?.callsPerPacket
    switch rate {
    case .rateByTurns(let containers, let run):
      conditions.containers = containers
      conditions.run = run
      timesOneContainer = CostReport.Figure(ratioOf: samples(of: network, .rate), to: own)
    case .rateAmong(let entries):
      conditions.entries = entries
      conditions.destinations = "all"
      if entries != 1000 {
        timesThousandEntries = CostReport.Figure(
          ratioOf: samples(of: network, .rateAmong(entries: 1000)), to: own)
      }
    default:
      ndrPacketsPerSecond = resultOf(network, .noDropRate)?.median
      delays = Self.delays { resultOf(network, .delay(percent: $0)) }
    }
    let others = [Network(base: "bare"), .redirect, .testpmd, CostPath.kernel].filter { $0 != network }
    timesFaster = others.compactMap { other in
      CostReport.Figure(ratioOf: own, to: samples(of: other, rate)).map {
        CostReport.Ratio(than: other.description, figure: $0)
      }
    }
  }

  private static func delays(_ result: (_ percent: Int) -> ABReport.Result?) -> [CostReport.Delay]? {
    let delays = (1...100).compactMap { percent -> CostReport.Delay? in
      guard let result = result(percent), let times = result.latencyUs else { return nil }
      return CostReport.Delay(
        percentOfNdr: percent, p50Us: times["p50"] ?? 0, p90Us: times["p90"] ?? 0, p99Us: times["p99"] ?? 0,
        maxUs: times["max"] ?? 0, lostFraction: result.lostFraction ?? 0)
    }
    return delays.isEmpty ? nil : delays
  }
}
