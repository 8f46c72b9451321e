// SPDX-License-Identifier: Apache-2.0
import LinuxSystem

/// Which host is under test, and what it does to the frames.
public enum PacketDirection: String, Sendable, CaseIterable {
  case encap, decap
}

/// What one trial measures: a workload and one of its metrics.
public enum Measure: Hashable, Sendable {
  case packetRate(PacketDirection)
  /// With several containers, each of which has so many frames in its turn.
  case packetRateByTurns(PacketDirection, run: Int)
  /// The highest offered rate that loses at most 0.001 %.
  case noDropRate(PacketDirection)
  /// How long frames take at so many percent of that rate, by time stamps inside them.
  case frameDelay(PacketDirection, percent: Int)
  case udpRoundTrip
  case tcpRoundTrip
  case tcpConnectRoundTrip
  case udpStream
  case tcpStream

  /// The workload's name in options and JSON.
  public var workload: String {
    switch self {
    case .packetRate(let direction), .packetRateByTurns(let direction, _), .noDropRate(let direction),
      .frameDelay(let direction, _):
      "packet-rate:\(direction.rawValue)"
    case .udpRoundTrip: "udp-rr"
    case .tcpRoundTrip: "tcp-rr"
    case .tcpConnectRoundTrip: "tcp-crr"
    case .udpStream: "udp-stream"
    case .tcpStream: "tcp-stream"
    }
  }

  public var metric: String {
    switch self {
    case .packetRate, .udpStream: "packets_per_second"
    case .packetRateByTurns(_, let run): "packets_per_second_by_turns_of_\(run)"
    case .noDropRate: "ndr_packets_per_second"
    case .frameDelay(_, let percent): "delay_p50_us_at_\(percent)"
    case .udpRoundTrip, .tcpRoundTrip: "round_trip_p50_us"
    case .tcpConnectRoundTrip: "transactions_per_second"
    case .tcpStream: "bytes_per_second"
    }
  }

  public var unit: String {
    switch self {
    case .packetRate, .packetRateByTurns, .noDropRate, .udpStream, .tcpConnectRoundTrip: "1/s"
    case .udpRoundTrip, .tcpRoundTrip, .frameDelay: "us"
    case .tcpStream: "B/s"
    }
  }

  public var better: Direction {
    switch self {
    case .udpRoundTrip, .tcpRoundTrip, .frameDelay: .lower
    default: .higher
    }
  }

  /// Which host is under test; nil where both are.
  var direction: PacketDirection? {
    switch self {
    case .packetRate(let direction), .packetRateByTurns(let direction, _), .noDropRate(let direction),
      .frameDelay(let direction, _):
      direction
    default: nil
    }
  }

  /// Frames generated in the kernel meet no socket and no second CPU: the whole path runs where they are
  /// made.
  public var isLiveFrames: Bool { direction != nil }

  /// A trial is a search of many short ones.
  public var isSearch: Bool {
    if case .noDropRate = self { true } else { false }
  }

  /// A trial is many by itself: a search, or the delays of thousands of frames. A few of them are enough.
  public var takesFewTrials: Bool {
    if case .frameDelay = self { true } else { isSearch }
  }

  /// Its CPU time is told too.
  var hasCost: Bool {
    if case .packetRate = self { true } else { !isLiveFrames }
  }

  /// Streams can be several at once.
  public var takesFlows: Bool { self == .udpStream || self == .tcpStream }

  public var defaultSizes: [Int] {
    switch self {
    case .packetRate, .packetRateByTurns, .noDropRate, .frameDelay, .udpRoundTrip, .tcpRoundTrip,
      .tcpConnectRoundTrip:
      [64]
    case .udpStream: [64, 1400]
    case .tcpStream: [65536]
    }
  }

  /// Bytes it can be asked for: a number must fit into a datagram, all headers into a frame, a frame into the
  /// MTU.
  public var sizes: ClosedRange<Int> {
    switch self {
    case .packetRate, .packetRateByTurns, .noDropRate, .frameDelay: 64...1464
    case .udpRoundTrip, .udpStream: 8...65_507
    case .tcpRoundTrip, .tcpConnectRoundTrip: 1...65_507
    case .tcpStream: 1...16_777_216
    }
  }

  public static let workloads = [
    "packet-rate:encap", "packet-rate:decap", "udp-rr", "tcp-rr", "tcp-crr", "udp-stream", "tcp-stream",
  ]

  /// All measures of a workload; "packet-rate" alone is both directions.
  public static func of(workload name: String) throws(Failure) -> [Measure] {
    switch name {
    case "packet-rate": PacketDirection.allCases.flatMap { [.packetRate($0), .noDropRate($0)] }
    case "packet-rate:encap": [.packetRate(.encap), .noDropRate(.encap)]
    case "packet-rate:decap": [.packetRate(.decap), .noDropRate(.decap)]
    case "udp-rr": [.udpRoundTrip]
    case "tcp-rr": [.tcpRoundTrip]
    case "tcp-crr": [.tcpConnectRoundTrip]
    case "udp-stream": [.udpStream]
    case "tcp-stream": [.tcpStream]
    default:
      throw Failure(
        "measure workload", name, advice: "Known: \(workloads.joined(separator: " ")).", status: .usage)
    }
  }
}
