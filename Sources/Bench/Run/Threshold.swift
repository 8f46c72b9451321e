// SPDX-License-Identifier: Apache-2.0
import LinuxSystem

/// What a network has to reach against the baseline: `--fail-below NETWORK:WORKLOAD:RATIO`.
///
/// The ratio is one of speeds, so that more is better of every workload: a/b where more of the metric is
/// better, b/a where less is (latency). `vxlan+tc:udp-rr:1.33` asks that a round trip take at most 1/1.33 of
/// the baseline's.
///
/// A row misses it where the whole 95 % interval is below, and by more than the baseline differs from itself.
///
/// NETWORK:overload:RATIO, or overload:encap and overload:decap, is about every trial of packet-rate, which offers more than
/// the path takes, beside the network's own loss-free rate: overload may cost a path no more than what it loses.
public struct Threshold: Sendable, Equatable, CustomStringConvertible {
  public var network: String
  /// As in the options: "packet-rate" is both directions, "all" is every row of the network.
  public var workload: String
  public var ratio: Double

  public var description: String { "\(network):\(workload):\(ratio)" }

  /// - Parameter plan: what will be measured; a threshold on anything else is a usage error.
  public init(parsing text: String, plan: Plan) throws(Failure) {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count >= 3, let ratio = Double(parts.last!), ratio > 0, ratio.isFinite else {
      throw Failure(
        "read --fail-below", text,
        advice: "Give NETWORK:WORKLOAD:RATIO, as in vxlan+xdp:packet-rate:encap:2.",
        status: .usage)
    }
    network = String(parts[0])
    workload = parts[1..<(parts.count - 1)].joined(separator: ":")
    self.ratio = ratio
    let others = plan.networks.filter { $0 != plan.baseline }.map(\.description)
    guard others.contains(network) else {
      throw Failure(
        "read --fail-below", text,
        advice:
          "\(network) is not compared with \(plan.baseline) here; \(others.joined(separator: ", ")) are.",
        status: .usage)
    }
    let wanted = self
    if wanted.overload != nil {
      let measures = plan.cells.map(\.measure).filter { wanted.covers($0.workload) }
      guard measures.contains(where: \.isSearch), !measures.allSatisfy(\.isSearch) else {
        throw Failure(
          "read --fail-below", text,
          advice: "overload needs packet-rate with its loss-free rate: --workloads packet-rate, without --quick.",
          status: .usage)
      }
      return
    }
    guard plan.cells.contains(where: { wanted.covers($0.measure.workload) }) else {
      throw Failure("read --fail-below", text, advice: "\(workload) is not measured here.", status: .usage)
    }
  }

  private func covers(_ name: String) -> Bool {
    let workload = overload ?? workload
    return workload == "all" || name == workload || name.hasPrefix(workload + ":")
  }

  /// The workload whose trials are held against the loss-free rate; nil: not asked for.
  private var overload: String? {
    guard workload == "overload" || workload.hasPrefix("overload:") else { return nil }
    return "packet-rate" + workload.dropFirst("overload".count)
  }

  /// The comparisons that miss it, and rows it was set for that gave none, a line each; what failed or was
  /// interrupted is not among them: that is another error.
  public func misses(in report: ABReport) -> [String] {
    overload == nil ? slower(in: report) : collapses(in: report)
  }

  private func collapses(in report: ABReport) -> [String] {
    report.results.compactMap { result in
      guard result.network == network, covers(result.workload), result.metric == Measure.packetRate(.encap).metric,
        result.failed == nil, result.interrupted != true
      else { return nil }
      let what = "\(network) \(result.row)"
      var row = result.row
      row.metric = Measure.noDropRate(.encap).metric
      let free = report.results.first { $0.network == network && $0.row == row }
      guard free?.failed == nil, free?.interrupted != true else { return nil }
      guard let lossFree = free?.median, let least = result.samples.min() else {
        return "\(what): \(result.skipped ?? free?.skipped ?? "no loss-free rate to compare with")"
      }
      let below = result.samples.count { $0 < ratio * lossFree }
      guard below > 0 else { return nil }
      return "\(what): \(below) of \(result.samples.count) trials below \(ratio)× the loss-free rate of "
        + "\(Quantity.text(lossFree, unit: result.unit)), the least \(Quantity.text(least, unit: result.unit))"
    }
  }

  private func slower(in report: ABReport) -> [String] {
    var misses: [String] = []
    for result in report.results where result.network == network && covers(result.workload) {
      let what = "\(network) \(result.row)"
      if let comparison = report.comparisons.first(where: { $0.a == network && $0.row == result.row }) {
        let floor = report.noiseFloor.first { $0.row == result.row }?.leastSpeed ?? 1
        if comparison.speeds.upperBound < ratio * floor {
          let bounds = comparison.speeds
          var miss =
            "\(what): \(Quantity.number(comparison.speedRatio))× the speed of \(comparison.b) "
            + "(\(Quantity.number(bounds.lowerBound))–\(Quantity.number(bounds.upperBound))), not \(ratio)×"
          if floor < 1 { miss += ", and \(comparison.b) against itself is \(Quantity.number(floor))×" }
          misses.append(miss)
        }
      } else if let reason = result.skipped {
        misses.append("\(what): skipped, \(reason)")
      } else if result.failed == nil && result.interrupted != true {
        misses.append("\(what): no pair of trials to compare")
      }
    }
    return misses
  }
}

extension ABReport.Comparison {
  /// More is better, whatever the metric.
  var speedRatio: Double {
    switch better {
    case .higher: ratio
    case .lower: ratio > 0 ? 1 / ratio : .infinity
    }
  }

  /// Its 95 % interval.
  var speeds: ClosedRange<Double> {
    let (low, high) = (ci95.first ?? ratio, ci95.last ?? ratio)
    switch better {
    case .higher: return min(low, high)...max(low, high)
    case .lower:
      func inverse(_ value: Double) -> Double { value > 0 ? 1 / value : .infinity }
      return inverse(max(low, high))...inverse(min(low, high))
    }
  }
}

extension ABReport.NoiseFloor {
  /// How slow the baseline can look against itself, either trial first: at most 1.
  var leastSpeed: Double {
    let bounds = ci95.filter { $0 > 0 }
    return min(1, bounds.min() ?? 1, 1 / (bounds.max() ?? 1))
  }
}

extension Row: CustomStringConvertible {
  var description: String {
    let several = flows.map { " × \($0) flows" } ?? ""
    let end = ends.map { ", tier on the \($0)" } ?? ""
    let checksum = outerChecksum.map { ", outer checksum \($0)" } ?? ""
    let near = span.flatMap(Span.init).map { ", \($0.words)" } ?? ""
    return "\(workload) \(size) B\(several) offloads \(offloads) \(placement)\(end)\(checksum)\(near) \(metric)"
  }
}
