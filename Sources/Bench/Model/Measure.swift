// SPDX-License-Identifier: Apache-2.0
import LinuxSystem

/// Which host is under test, and what it does to the frames.
public enum PacketDirection: String, Sendable, CaseIterable {
  case encap, decap
}

/// What one trial measures: a workload and one of its metrics.
public enum Measure: Hashable, Sendable {
  case packetRate(PacketDirection)
  /// The highest offered rate that loses at most 0.001 %.
  case noDropRate(PacketDirection)
  case udpRoundTrip
  case udpStream
  case tcpStream

  /// The workload's name in options and JSON.
  public var workload: String {
    switch self {
    case .packetRate(let direction), .noDropRate(let direction): "packet-rate:\(direction.rawValue)"
    case .udpRoundTrip: "udp-rr"
    case .udpStream: "udp-stream"
    case .tcpStream: "tcp-stream"
    }
  }

  public var metric: String {
    switch self {
    case .packetRate, .udpStream: "packets_per_second"
    case .noDropRate: "ndr_packets_per_second"
    case .udpRoundTrip: "round_trip_p50_us"
    case .tcpStream: "bytes_per_second"
    }
  }

  public var unit: String {
    switch self {
    case .packetRate, .noDropRate, .udpStream: "1/s"
    case .udpRoundTrip: "us"
    case .tcpStream: "B/s"
    }
  }

  public var better: Direction { self == .udpRoundTrip ? .lower : .higher }

  /// Frames generated in the kernel meet no socket and no second CPU: the whole path runs where they are
  /// made.
  public var isLiveFrames: Bool {
    switch self {
    case .packetRate, .noDropRate: true
    default: false
    }
  }

  public var defaultSizes: [Int] {
    switch self {
    case .packetRate, .noDropRate: [64]
    case .udpRoundTrip: [64]
    case .udpStream: [64, 1400]
    case .tcpStream: [65536]
    }
  }

  public static let workloads = [
    "packet-rate:encap", "packet-rate:decap", "udp-rr", "udp-stream", "tcp-stream",
  ]

  /// All measures of a workload; "packet-rate" alone is both directions.
  public static func of(workload name: String) throws(Failure) -> [Measure] {
    switch name {
    case "packet-rate": PacketDirection.allCases.flatMap { [.packetRate($0), .noDropRate($0)] }
    case "packet-rate:encap": [.packetRate(.encap), .noDropRate(.encap)]
    case "packet-rate:decap": [.packetRate(.decap), .noDropRate(.decap)]
    case "udp-rr": [.udpRoundTrip]
    case "udp-stream": [.udpStream]
    case "tcp-stream": [.tcpStream]
    default:
      throw Failure(
        "measure workload", name, advice: "Known: \(workloads.joined(separator: " ")).", status: .usage)
    }
  }
}

public enum Placement: String, Codable, Sendable, CaseIterable {
  /// Both ends on CPU 0.
  case oneCore = "one-core"
  /// The client on CPU 0, the server on CPU 1.
  case twoCore = "two-core"

  public var clientCPU: Int { 0 }
  public var serverCPU: Int { self == .oneCore ? 0 : 1 }
}

public enum Offloads: String, Codable, Sendable, CaseIterable {
  case on, off
}

/// One row of the comparison: everything but the network.
public struct Cell: Hashable, Sendable, CustomStringConvertible {
  public var measure: Measure
  /// Payload, write or frame bytes, as the workload defines.
  public var size: Int
  public var offloads: Offloads
  public var placement: Placement

  public init(measure: Measure, size: Int, offloads: Offloads, placement: Placement) {
    self.measure = measure
    self.size = size
    self.offloads = offloads
    self.placement = placement
  }

  public var description: String {
    "\(measure.workload) \(size) offloads \(offloads.rawValue) \(placement.rawValue) \(measure.metric)"
  }
}

/// What one trial gave.
public struct Sample: Sendable, Equatable {
  public var value: Double
  public var lostFraction: Double?
  /// Microseconds: "p50", "p90", "p99", "p99.9", "max".
  public var latency: [String: Double]?
  public var transactionsPerSecond: Double?
  /// Sent by the open loop, per second.
  public var sentPerSecond: Double?
  /// What the value counts (packets, round trips, bytes) over the window, for cost per unit.
  public var unitsPerSecond: Double

  public init(value: Double, unitsPerSecond: Double? = nil, lostFraction: Double? = nil) {
    self.value = value
    self.unitsPerSecond = unitsPerSecond ?? value
    self.lostFraction = lostFraction
  }
}
