// SPDX-License-Identifier: Apache-2.0
import DataPlane
import LinuxSystem
import Traffic

public enum Placement: String, Codable, Sendable, CaseIterable {
  /// Both ends on CPU 0.
  case oneCore = "one-core"
  /// The client on CPU 0, the server on CPU 1.
  case twoCore = "two-core"

  public var clientCPU: Int { 0 }
  public var serverCPU: Int { self == .oneCore ? 0 : 1 }
  /// Of a tier's own threads where live frames take the whole of the client's.
  public static var liveFramesWorkerCPU: Int { CPU.count > 1 ? 1 : 0 }
}

public enum Offloads: String, Codable, Sendable, CaseIterable {
  case on, off
}

/// Where a network's tier is attached; the other end is a plain kernel.
public enum Ends: String, Codable, Sendable, CaseIterable {
  case both, sender, receiver
}

/// Which hosts the two ends are on.
public enum Span: String, Codable, Sendable, CaseIterable {
  /// One each, where the network reaches that far.
  case twoHosts = "two-hosts"
  /// Both on the first.
  case oneHost = "one-host"
  /// One on the first, all the others on the second.
  case oneToMany = "one-to-many"
}

extension Span {
  var words: String {
    switch self {
    case .twoHosts: "on two hosts"
    case .oneHost: "on one host"
    case .oneToMany: "one against the rest"
    }
  }
}

/// One row of the comparison: everything but the network.
public struct Cell: Hashable, Sendable, CustomStringConvertible {
  public var measure: Measure
  /// Payload, write or frame bytes, as the workload defines.
  public var size: Int
  public var offloads: Offloads
  public var placement: Placement
  /// Parallel ones.
  public var flows: Int
  public var ends: Ends
  /// Of the VXLAN devices; nil: as the baseline has it.
  public var outerChecksum: Bool?
  public var span: Span

  public init(
    measure: Measure, size: Int, offloads: Offloads, placement: Placement, flows: Int = 1,
    ends: Ends = .both, outerChecksum: Bool? = nil, span: Span = .twoHosts
  ) {
    self.span = span
    self.flows = flows
    self.ends = ends
    self.outerChecksum = outerChecksum
    self.measure = measure
    self.size = size
    self.offloads = offloads
    self.placement = placement
  }

  /// Of each host; nil: as many as the network needs to have two that talk.
  var containers: Int? {
    guard let together = measure.together else { return measure.containers ?? (span == .oneHost ? 2 : nil) }
    return switch span {
    case .oneHost: together
    case .twoHosts: together / 2
    case .oneToMany: together - 1
    }
  }

  /// tcp-stream's, where batching is the kernel's and not the writer's.
  var isSmallWrites: Bool { measure.plain == .tcpStream && size < 16_384 }

  public var description: String {
    let what = flows == 1 ? "\(size)" : "\(size) × \(flows) flows"
    return
      "\(measure.workload) \(what) offloads \(offloads.rawValue) \(placement.rawValue)\(variant) \(measure.metric)"
  }

  private var variant: String {
    (ends == .both ? "" : " tier on the \(ends.rawValue)")
      + (outerChecksum.map { " outer checksum \($0 ? "on" : "off")" } ?? "")
      + (span == .twoHosts ? "" : " \(span.words)")
  }
}

/// What one trial gave.
public struct Sample: Sendable, Equatable {
  public var value: Double
  public var lostFraction: Double?
  /// Of TCP: segments sent, and how many of them again.
  public var segments: UInt64?
  public var retransmitted: UInt64?
  /// Mean bytes of the skbs that a plain kernel receiver's GRO made of a stream.
  public var skbBytes: Double?
  /// Microseconds: "p50", "p90", "p99", "p99.9", "max".
  public var latency: [String: Double]?
  /// All round trips of the trial.
  public var histogram: LatencyHistogram?
  public var transactionsPerSecond: Double?
  /// Sent by the open loop, per second.
  public var sentPerSecond: Double?
  /// Of the packets that the network's tier decided on, the part that it carried, on the host where that is
  /// least.
  public var tierShare: Double?
  /// Milliseconds of a launch's parts.
  public var parts: [String: Double]?
  /// Of the CPU of the end that is measured.
  public var cpuPercent: Double?
  /// What the tier's threads did, on all hosts.
  public var work: Work?
  /// What the value counts (packets, round trips, bytes) over the window, for cost per unit.
  public var unitsPerSecond: Double

  public init(value: Double, unitsPerSecond: Double? = nil, lostFraction: Double? = nil) {
    self.value = value
    self.unitsPerSecond = unitsPerSecond ?? value
    self.lostFraction = lostFraction
  }
}
