// SPDX-License-Identifier: Apache-2.0

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
    case "packets_per_second" where workload == "udp-stream": "datagrams received by the application, per second"
    case "packets_per_second": "packets/s at most, counted at the far side"
    case "round_trip_p50_us": "median round trip; lower is better"
    case "bytes_per_second": "received, bits/s"
    case "transactions_per_second": "connections made, asked, answered and closed, per second"
    default: metric
    }
  }
}
