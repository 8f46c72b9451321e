// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import Traffic

/// Which host is under test, and what it does to the frames.
public enum PacketDirection: String, Sendable, CaseIterable {
  case encap, decap
}

/// What is measured of frames that are generated in the kernel and go through one host.
public enum FrameMeasure: Hashable, Sendable {
  /// The highest rate, with one pair of ends.
  case rate
  /// The same with so many containers of each host, each of which has so many frames in its turn.
  case rateByTurns(containers: Int, run: Int)
  /// The same with so many more addresses in the tier's table, and another of them in each frame.
  case rateAmong(entries: Int)
  /// The highest offered rate that loses at most 0.001 %.
  case noDropRate
  /// How long frames take at so many percent of that rate, by time stamps inside them.
  case delay(percent: Int)
}

/// A load that can be put on a service's address.
public enum ServiceLoad: String, Sendable, CaseIterable {
  case udpRoundTrip, tcpRoundTrip, tcpConnectRoundTrip, udpStream, tcpStream

  /// The same from container to container.
  var measure: Measure {
    switch self {
    case .udpRoundTrip: .udpRoundTrip
    case .tcpRoundTrip: .tcpRoundTrip
    case .tcpConnectRoundTrip: .tcpConnectRoundTrip
    case .udpStream: .udpStream
    case .tcpStream: .tcpStream
    }
  }
}

/// Busy containers beside the one that is measured, as the study has them.
public enum Neighbours: String, Sendable, CaseIterable {
  /// Five that never rest.
  case busy
  /// Five that take a tenth of a CPU each.
  case light

  var count: Int { 5 }
  var share: Double { self == .busy ? 1 : 0.1 }
}

/// An end of a path.
public enum PathEnd: String, Sendable, CaseIterable {
  case client, server
}

/// Which way of two that are loaded at once.
public enum BulkDirection: String, Sendable, CaseIterable {
  case up, down
}

/// What one trial measures: a workload and one of its metrics.
public enum Measure: Hashable, Sendable {
  /// They meet no socket and no second CPU: the whole path runs where they are made.
  case frames(FrameMeasure, PacketDirection)
  case udpRoundTrip
  case tcpRoundTrip
  case tcpConnectRoundTrip
  case udpStream
  /// Datagrams of a socket that come in batches, so that making them is not what limits.
  case udpBatches
  case tcpStream
  /// From a container to its own host: nothing of it is the overlay's.
  case tcpStreamToHost
  /// To a container by the address of a service (a ClusterIP): destination NAT where the client is.
  case toService(ServiceLoad)
  /// Two streams at once, one each way.
  case bulk(BulkDirection)
  /// So many containers, each with every other.
  case allToAll(containers: Int)
  /// A container is made, and a ping from it answered.
  case launch
  /// CPU time that a round trip takes of one end, where each end has a CPU.
  case demand(PathEnd)
  /// A stream beside busy containers.
  case tcpStreamBeside(Neighbours)
  /// What is done in a namespace without packets.
  case local(LocalWork)

  public static func packetRate(_ direction: PacketDirection) -> Measure { .frames(.rate, direction) }
  public static func noDropRate(_ direction: PacketDirection) -> Measure { .frames(.noDropRate, direction) }

  /// The workload's name in options and JSON.
  public var workload: String {
    switch self {
    case .frames(_, let direction): "packet-rate:\(direction.rawValue)"
    case .udpRoundTrip: "udp-rr"
    case .tcpRoundTrip: "tcp-rr"
    case .tcpConnectRoundTrip: "tcp-crr"
    case .udpStream: "udp-stream"
    case .udpBatches: "udp-stream:batches"
    case .tcpStream: "tcp-stream"
    case .tcpStreamToHost: "tcp-stream:host"
    case .toService(let load): "\(load.measure.workload):service"
    case .bulk: "bulk"
    case .allToAll: "all-to-all"
    case .launch: "launch"
    case .demand: "udp-rr"
    case .tcpStreamBeside: "tcp-stream"
    case .local(let work): work.rawValue
    }
  }

  public var metric: String {
    switch self {
    case .frames(.rate, _), .udpStream, .udpBatches: "packets_per_second"
    case .frames(.rateByTurns(let containers, let run), _):
      "packets_per_second_of_\(containers)_by_turns_of_\(run)"
    case .frames(.rateAmong(let entries), _): "packets_per_second_among_\(entries)"
    case .frames(.noDropRate, _): "ndr_packets_per_second"
    case .frames(.delay(let percent), _): "delay_p50_us_at_\(percent)"
    case .udpRoundTrip, .tcpRoundTrip: "round_trip_p50_us"
    case .tcpConnectRoundTrip: "transactions_per_second"
    case .tcpStream, .tcpStreamToHost: "bytes_per_second"
    case .toService(let load): load.measure.metric
    case .bulk(let direction): "bytes_per_second_\(direction.rawValue)"
    case .allToAll(let containers): "exchange_p50_us_of_\(containers)"
    case .launch: "launch_ms"
    case .demand(let end): "\(end.rawValue)_demand_us"
    case .tcpStreamBeside(let neighbours): "bytes_per_second_beside_\(neighbours.rawValue)"
    case .local(.loop): "steps_per_second"
    case .local(.triad): "bytes_per_second"
    }
  }

  public var unit: String {
    switch self {
    case .udpRoundTrip, .tcpRoundTrip, .frames(.delay, _), .allToAll, .demand: "us"
    case .frames, .udpStream, .udpBatches, .tcpConnectRoundTrip, .local(.loop): "1/s"
    case .tcpStream, .tcpStreamToHost, .bulk, .tcpStreamBeside, .local(.triad): "B/s"
    case .launch: "ms"
    case .toService(let load): load.measure.unit
    }
  }

  public var better: Direction {
    switch self {
    case .udpRoundTrip, .tcpRoundTrip, .frames(.delay, _), .allToAll, .launch, .demand: .lower
    case .toService(let load): load.measure.better
    default: .higher
    }
  }

  /// Which host is under test; nil where both are.
  var direction: PacketDirection? {
    if case .frames(_, let direction) = self { direction } else { nil }
  }

  public var isLiveFrames: Bool { direction != nil }

  /// A trial is a search of many short ones.
  public var isSearch: Bool {
    if case .frames(.noDropRate, _) = self { true } else { false }
  }

  /// A trial is many by itself: a search, or the delays of thousands of frames. A few of them are enough.
  public var takesFewTrials: Bool {
    if case .frames(.delay, _) = self { true } else { isSearch }
  }

  /// Its CPU time is told too.
  var hasCost: Bool {
    switch self {
    case .frames(let frames, _): frames == .rate
    case .allToAll, .launch, .demand, .tcpStreamBeside, .local: false
    default: true
    }
  }

  /// How many trials of each network: a search is many by itself, and of launches the study took ten.
  func trials(of repeats: Int, searches: Int) -> Int {
    if self == .launch { return max(repeats, 10) }
    return takesFewTrials ? searches : repeats
  }

  /// Of each host; nil: as many as the network needs to have two that talk.
  var containers: Int? {
    switch self {
    case .frames(.rateByTurns(let containers, _), _): containers
    // The last one is made anew.
    case .launch: 3
    default: nil
    }
  }

  /// From the one that a trial is given on.
  func ports(flows: Int) -> Int {
    switch self {
    case .bulk: 2
    case .allToAll(let containers): containers
    default: flows
    }
  }

  /// Of all hosts together, where all of them talk with each other.
  var together: Int? { if case .allToAll(let containers) = self { containers } else { nil } }

  /// Put into the tier's table beside what the network has; 0 where none are.
  var entries: Int {
    if case .frames(.rateAmong(let entries), _) = self { entries } else { 0 }
  }

  /// Streams can be several at once.
  public var takesFlows: Bool { plain == .udpStream || self == .udpBatches || isTCPStream }

  public var isTCPStream: Bool { plain == .tcpStream || self == .tcpStreamToHost }

  public var isToService: Bool { if case .toService = self { true } else { false } }

  /// The same load without a service's address, and without neighbours.
  var plain: Measure {
    switch self {
    case .toService(let load): load.measure
    case .tcpStreamBeside: .tcpStream
    default: self
    }
  }

  /// Each host's CPU takes what arrives there.
  var isSteered: Bool { if case .demand = self { true } else { false } }

  /// What a tier does with it decides nothing.
  var isOfNoTier: Bool { if case .local = self { true } else { self == .launch } }

  /// That a tier leaves packets to the kernel is part of what is measured: beside busy neighbours it is late.
  var takesAnyShare: Bool { if case .tcpStreamBeside = self { true } else { isNotTheOverlays || isOfNoTier } }

  /// A tier can be on one of two hosts that both work for it.
  public var hasTwoEnds: Bool {
    !isLiveFrames && self != .tcpStreamToHost && together == nil && !isOfNoTier
  }

  /// What is measured is what a tier costs traffic that it cannot carry.
  var isNotTheOverlays: Bool { self == .tcpStreamToHost }

  /// Segmentation in hardware would let batches cross whole: another measurement.
  var defaultOffloads: [Offloads] {
    switch self {
    case .tcpStream: [.on, .off]
    case .udpBatches: [.off]
    case .toService(let load): load.measure.defaultOffloads
    default: [.on]
    }
  }

  public var defaultSizes: [Int] {
    switch self {
    case .frames, .udpBatches, .udpRoundTrip, .tcpRoundTrip, .tcpConnectRoundTrip: [64]
    case .udpStream: [64, 1400]
    case .tcpStream: [65536, 1400]
    case .tcpStreamToHost, .toService(.tcpStream), .bulk, .tcpStreamBeside: [65536]
    case .allToAll: [1024]
    case .launch: [56]
    case .demand: [64]
    case .local: [0]
    case .toService(let load): load.measure.defaultSizes
    }
  }

  /// Bytes it can be asked for: a number must fit into a datagram, all headers into a frame, a frame into the
  /// MTU.
  public var sizes: ClosedRange<Int> {
    switch self {
    case .frames: 64...1464
    // A batch is cut into datagrams that fit into the smallest MTU of a network.
    case .udpBatches: 8...1400
    case .udpRoundTrip, .udpStream, .demand: 8...65_507
    case .allToAll: 1...16_384
    case .launch: 56...56
    case .local: 0...0
    case .tcpRoundTrip, .tcpConnectRoundTrip: 1...65_507
    case .tcpStream, .tcpStreamToHost, .bulk, .tcpStreamBeside: 1...16_777_216
    case .toService(let load): load.measure.sizes
    }
  }

  public static let workloads =
    [
      "packet-rate:encap", "packet-rate:decap", "udp-rr", "tcp-rr", "tcp-crr", "udp-stream",
      "udp-stream:batches", "tcp-stream", "tcp-stream:host",
    ] + ServiceLoad.allCases.map { Measure.toService($0).workload }

  /// Those that are measured where they are asked for.
  public static let furtherWorkloads = ["bulk", "all-to-all", "launch"]

  private static let services = ServiceLoad.allCases.map { Measure.toService($0) }

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
    case "udp-stream:batches": [.udpBatches]
    case "tcp-stream": [.tcpStream]
    case "tcp-stream:host": [.tcpStreamToHost]
    case "bulk": BulkDirection.allCases.map { .bulk($0) }
    case "all-to-all": [.allToAll(containers: 4)]
    case "launch": [.launch]
    case _ where services.contains { $0.workload == name }: services.filter { $0.workload == name }
    default:
      throw Failure(
        "measure workload", name, advice: "Known: \((workloads + furtherWorkloads).joined(separator: " ")).", status: .usage)
    }
  }
}
