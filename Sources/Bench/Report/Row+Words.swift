// SPDX-License-Identifier: Apache-2.0

/// How a comparison came out, in words.
enum Outcome: String, CaseIterable {
  case better
  case worse
  case noDifference = "no difference"
  /// The result's verdict is then "no difference", whatever the ratio.
  case tooFewPairs = "too few pairs"
}

extension ABReport.Comparison {
  var outcome: Outcome {
    if pairs < RatioEstimate.pairsForVerdict { return .tooFewPairs }
    return switch verdict {
    case .better: .better
    case .worse: .worse
    case .noDifference: .noDifference
    }
  }

  func isOf(_ result: ABReport.Result) -> Bool { row == result.row }
}

extension ABReport {
  /// How many comparisons of a network came out how, without what did not happen except better and worse.
  func outcomes(of network: String) -> [(outcome: Outcome, count: Int)] {
    let all = comparisons.filter { $0.a == network }
    return Outcome.allCases.map { outcome in (outcome, all.count { $0.outcome == outcome }) }
  }
}

/// A row in words, for every form of report.
extension Row {
  /// "loss-free:encap", "udp-rr p50", "tcp-stream".
  var title: String {
    switch metric {
    case "ndr_packets_per_second": workload.replacing("packet-rate", with: "loss-free")
    case "round_trip_p50_us": workload + " p50"
    default: workload
    }
  }

  /// "64 B, offloads off, one core, 4 flows".
  var conditions: String {
    let flows = (flows ?? 1) > 1 ? ", \(flows!) flows" : ""
    return "\(size) B, offloads \(offloads), \(placement.replacing("-", with: " "))\(flows)"
  }

  var isLatency: Bool { metric.hasSuffix("_us") }

  /// What the figure is.
  var figure: String {
    switch metric {
    case "ndr_packets_per_second": "highest offered rate with loss of at most 0.001 %, packets/s"
    case "packets_per_second" where workload == "udp-stream":
      "datagrams received by the application, per second"
    case "packets_per_second": "packets/s at most, counted at the far side"
    case "round_trip_p50_us": "median round trip; lower is better"
    case "bytes_per_second": "received, bits/s"
    case "transactions_per_second": "connections made, asked, answered and closed, per second"
    default: metric
    }
  }
}

extension ABReport.Comparison {
  /// "7.55×", or "~7.55×" of pairs across changes of the machine's state.
  var ratioText: String { (unsettledPairs == nil ? "" : "~") + Quantity.number(ratio) + "×" }
}

extension ABReport {
  /// What the mark of `ratioText` means, where it is used.
  var unsettledNote: String? {
    comparisons.contains { $0.unsettledPairs != nil }
      ? "~: the machine kept changing its state; pairs across a change count too, and widen the interval."
      : nil
  }
}
