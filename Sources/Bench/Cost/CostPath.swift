// SPDX-License-Identifier: Apache-2.0

/// The device under test as a ladder: what `ab` measures of whole hosts at the highest rate they take, in
/// nanoseconds per packet of the one core that does all the work.
public enum CostPath {
  /// The raw wire first, the kernel last.
  public static let networks = ["bare", "vxlan+xdp", "vxlan+tc", "vxlan+afxdp", "bridge", "vxlan"]

  public static func request(quick: Bool) -> Plan.Request {
    var request = Plan.Request()
    request.networks = networks
    request.workloads = ["packet-rate"]
    request.sizes = [64]
    request.duration = quick ? 0.2 : 0.3
    request.repeats = quick ? 6 : 8
    return request
  }

  /// The steps of a comparison of these networks.
  public static func steps(_ report: ABReport) -> [CostReport.Step] {
    let order = networks
    let rates = report.results.filter { $0.metric == "packets_per_second" && !$0.samples.isEmpty }
    return rates.sorted { a, b in
      a.workload != b.workload
        ? a.workload > b.workload
        : order.firstIndex(of: a.network) ?? 99 < order.firstIndex(of: b.network) ?? 99
    }.compactMap { result in
      let samples = result.samples.filter { $0 > 0 }.map { 1e9 / $0 }
      guard let figure = CostReport.Figure(samples) else { return nil }
      let packets = result.samples.reduce(0) { $0 + $1 * report.settings.durationS }
      var step = CostReport.Step(
        part: .path, tier: result.network,
        step: String(result.workload.split(separator: ":").last ?? ""),
        conditions: CostReport.Conditions(bytes: result.size), nsPerPacket: figure, packets: Int(packets),
        samples: samples)
      step.packetsPerSecond = result.median
      step.cpuNsPerPacket = result.cpuNsPerPacket
      step.packetsPerBurst = result.tier?.packetsPerBurst
      step.callsPerPacket = result.tier?.callsPerPacket
      step.ndrPacketsPerSecond =
        report.results.first {
          $0.network == result.network && $0.workload == result.workload && $0.size == result.size
            && $0.metric == "ndr_packets_per_second"
        }?.median
      return step
    }
  }
}
