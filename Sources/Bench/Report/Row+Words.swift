// SPDX-License-Identifier: Apache-2.0
import Traffic

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
    case "bytes_per_second_up", "bytes_per_second_down": "\(workload) \(metric.split(separator: "_").last!)"
    case "client_demand_us", "server_demand_us": "\(workload) CPU, \(metric.split(separator: "_").first!)"
    case _ where workload == "tcp-stream" && metric.hasPrefix("bytes_per_second_beside_"):
      "\(workload), \(metric.split(separator: "_").last!) neighbours"
    case _ where workload == "all-to-all": "\(workload) of \(metric.split(separator: "_").last!)"
    default: workload
    }
  }

  /// "64 B, offloads off, one core, 4 flows".
  var conditions: String {
    let flows = (flows ?? 1) > 1 ? ", \(flows!) flows" : ""
    return "\(Quantity.size(size)), offloads \(offloads), \(placement.replacing("-", with: " "))\(flows)"
      + variants.map { ", \($0)" }.joined()
  }

  /// What sets it apart from the row of that name.
  var variants: [String] {
    [
      ends.map { "tier on the \($0) only" }, outerChecksum.map { "outer checksum \($0)" },
      span.flatMap(Span.init)?.words,
    ].compactMap { $0 }
  }

  /// The same where four letters are all the room there is.
  var marks: [String] {
    let end = ends.map { $0 == Ends.sender.rawValue ? "send" : "recv" }
    return [end, outerChecksum.map { $0 == "on" ? "csum" : "nocs" }, span.map { $0 == Span.oneHost.rawValue ? "1host" : "1:n" }].compactMap { $0 }
  }

  var isLatency: Bool { metric.hasSuffix("_us") || workload == "all-to-all" }

  /// What the figure is.
  var figure: String {
    guard workload.hasSuffix(":service") else { return plainFigure }
    return "to a container by its service's address (destination NAT); \(plainFigure)"
  }

  private var plainFigure: String {
    switch metric {
    case "ndr_packets_per_second": "highest offered rate with loss of at most 0.001 %, packets/s"
    case "packets_per_second" where workload == "udp-stream:batches":
      "from a socket in batches of \(UDPStream.segmentLimit) (UDP_SEGMENT) to a socket, datagrams received by the application, per second"
    case "packets_per_second" where workload.hasPrefix("udp-stream"):
      "datagrams received by the application, per second"
    case "packets_per_second":
      "packets/s at most, as raw frames from driver to driver without any socket, counted at the far side"
    case "round_trip_p50_us": "median round trip; lower is better"
    case "bytes_per_second" where workload == "tcp-stream:host":
      "from a container to its own host, which is no overlay's; received, bits/s"
    case "bytes_per_second" where workload == "memory": "STREAM's triad, read and written"
    case "steps_per_second": "steps of a loop in registers, per second"
    case "bytes_per_second_up", "bytes_per_second_down": "received, bits/s, while the other way is loaded too"
    case _ where metric.hasPrefix("bytes_per_second_beside_"):
      "received, bits/s, beside five containers that are busy (light: a tenth of a CPU each)"
    case "launch_ms": "from nothing to a container whose ping was answered; lower is better"
    case "client_demand_us", "server_demand_us":
      "CPU time that a round trip takes of this end's host (service demand); lower is better"
    case _ where workload == "all-to-all":
      "median time in which each container has sent to and received from every other; lower is better"
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

extension ABReport.Comparison {
  /// "7.20–7.90". A bound that is not 1 is never shown as 1 where the verdict stands on that.
  var intervalText: String {
    let (low, high) = (ci95.first ?? ratio, ci95.last ?? ratio)
    guard outcome == .better || outcome == .worse else {
      return Quantity.number(low) + "–" + Quantity.number(high)
    }
    return Quantity.apartFromOne(low) + "–" + Quantity.apartFromOne(high)
  }
}

extension ABReport {
  /// "vxlan+auto (tc)": with what it turned out to be, where its name does not say.
  func title(of network: String) -> String {
    guard network.hasSuffix("+\(Network.automatic)") else { return network }
    var obtained: [String] = []
    for tier in results.filter({ $0.network == network }).compactMap(\.tier?.obtained)
    where !obtained.contains(tier) { obtained.append(tier) }
    return obtained.isEmpty ? network : "\(network) (\(obtained.joined(separator: "; ")))"
  }

  /// What stands beside a figure since it cannot be read without: what the row is, losses, retransmissions, each
  /// with the baseline's.
  func qualifiers(of result: Result) -> [String] {
    let name = settings.baselineNetwork
    let baseline = result.network == name ? nil : results.first { $0.network == name && $0.row == result.row }
    func text(_ figure: (Result) -> Double?, _ words: (Double) -> String) -> String? {
      let (one, other) = (figure(result), baseline.flatMap(figure))
      guard let one, one > 0 || (other ?? 0) > 0 else { return nil }
      return words(one)
        + (other.map { " (\(name) \(words($0).split(separator: " ").dropFirst().joined(separator: " ")))" }
          ?? "")
    }
    return [
      text({ $0.isLossTold ? $0.lostFraction : nil }) { "lost \(Quantity.percent($0))" },
      text(\.retransmittedFraction) { "retransmitted \(Quantity.percent($0))" },
      text(\.skbBytes) { "GRO \(Quantity.long($0)) B/skb" },
      hasSecondCPU(result) ? "a worker on a second CPU" : nil,
      result.modes.map { $0.words(unit: result.unit) },
      baseline?.modes.map { "\(name): \($0.words(unit: result.unit))" },
    ].compactMap { $0 }
  }

  /// Of frames that the generator makes on the row's one core, where the tier works on them elsewhere.
  private func hasSecondCPU(_ result: Result) -> Bool {
    guard result.workload.hasPrefix("packet-rate"), let tier = result.tier, tier.obtained.hasPrefix("afxdp"),
      let cpus = settings.pinning["packet-rate"]
    else { return false }
    return cpus["generator"] != cpus["worker"]
  }

  /// What `Modes.words` mean, where they are used.
  var modesNote: String? {
    results.contains { $0.modes != nil }
      ? "two modes: the trials fall into two groups far apart, as of a network in two states; the median is neither "
        + "group's figure, and the interval may miss either. Repeat the row (--repeats) before believing it."
      : nil
  }
}

extension ABReport.Result {
  /// Of its trials; nil where they have one.
  var modes: Modes? { Modes(samples) }

  /// The search for the loss-free rate has its loss in its name.
  var isLossTold: Bool { metric != "ndr_packets_per_second" }
}

extension ABReport {
  /// "tuned", and what of it was asked otherwise.
  var baselineWords: String {
    let isTuned = environment.baseline == "tuned"
    guard let checksum = environment.outerChecksum, (checksum == "on") == isTuned else {
      return environment.baseline
    }
    return "\(environment.baseline), outer checksum \(checksum)"
  }

  /// Where packets of `packet-rate` begin and end, beside its figures.
  var rawFramesNote: String? {
    results.contains { $0.workload.hasPrefix("packet-rate") }
      ? "packet-rate, loss-free: raw frames, made and counted by XDP at the interfaces; no socket is on the way. "
        + "udp-stream:batches goes from a socket to a socket at full rate."
      : nil
  }

  /// What the mark of `ratioText` means, where it is used.
  var unsettledNote: String? {
    comparisons.contains { $0.unsettledPairs != nil }
      ? "~: the VM's CPUs moved during the row, and pairs across such a change count too: the interval is wider, trust it less."
      : nil
  }
}
