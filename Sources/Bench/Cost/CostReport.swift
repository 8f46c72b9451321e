// SPDX-License-Identifier: Apache-2.0
import Foundation
import LinuxSystem

/// A result of `culvert cost`: JSON schema `culvert.cost/1`. Fields are added, never renamed or removed.
public struct CostReport: Codable, Sendable, Equatable {
  public static let schemaName = "culvert.cost/1"

  public var schema = CostReport.schemaName
  public var environment: Environment
  public var steps: [Step] = []
  /// What could not be measured, and why; nil where all could.
  public var failures: [Failed]?

  public struct Failed: Codable, Sendable, Equatable {
    /// A network and what was measured of it.
    public var what: String
    public var reason: String
  }

  public struct Environment: Codable, Sendable, Equatable {
    public var kernel: String
    public var cpu: String
    public var cpus: Int
    public var virtualised: Bool
    public var mitigations: [String: String]
    public var culvert: String
    public var debugBuild: Bool
    /// Samples of each step, taken by turns with the others'.
    public var rounds: Int

    public init(machine: MachineEnvironment, rounds: Int) {
      kernel = machine.kernel
      cpu = machine.cpu
      cpus = machine.cpus
      virtualised = machine.virtualised
      mitigations = machine.mitigations
      culvert = Build.version
      debugBuild = Build.isDebug
      self.rounds = rounds
    }
  }

  public enum Part: String, Codable, Sendable, CaseIterable {
    /// The programs of tier `xdp`, by BPF_PROG_TEST_RUN.
    case bpf
    /// The forwarder of tier `afxdp`, over bursts in memory.
    case swift
    /// A whole host with packets at the most that it takes.
    case path
  }

  /// What a step was measured under, as far as it matters to it.
  public struct Conditions: Codable, Sendable, Hashable {
    /// 4 or 6, of the inner packet.
    public var ipVersion: Int?
    /// Of the inner frame.
    public var bytes: Int?
    /// In the forwarding table.
    public var entries: Int?
    /// Another remote end with each packet, or always the same: cold and hot caches.
    public var destinations: String?
    /// Frames that are worked on together.
    public var burst: Int?
    /// Of each host, whose frames take turns.
    public var containers: Int?
    /// Frames that a container's turn lasts.
    public var run: Int?

    public init(
      ipVersion: Int? = nil, bytes: Int? = nil, entries: Int? = nil, destinations: String? = nil,
      burst: Int? = nil, containers: Int? = nil, run: Int? = nil
    ) {
      self.containers = containers
      self.run = run
      self.ipVersion = ipVersion
      self.bytes = bytes
      self.entries = entries
      self.destinations = destinations
      self.burst = burst
    }
  }

  /// Median of the rounds and its 95 % interval.
  public struct Figure: Codable, Sendable, Equatable {
    public var median: Double
    public var ci95: [Double]

    public init?(_ samples: [Double]) {
      guard let median = Statistics.median(samples), let interval = Statistics.medianInterval(samples)
      else { return nil }
      self.median = median
      ci95 = [interval.lowerBound, interval.upperBound]
    }

    /// Of the medians of two samples that nothing pairs.
    public init?(ratioOf a: [Double], to b: [Double]) {
      guard let over = Statistics.median(a), let under = Statistics.median(b), under > 0,
        let interval = Statistics.ratioInterval(a, b)
      else { return nil }
      median = over / under
      ci95 = [interval.lowerBound, interval.upperBound]
    }

    /// The interval is as wide as the figure: it says nothing. Below a nanosecond that is no matter.
    public var isHidden: Bool { ci95[1] - ci95[0] > max(1, abs(median)) }
  }

  public struct Step: Codable, Sendable, Equatable {
    public var part: Part
    /// "xdp", "afxdp"; in part `path` a network, as "vxlan+tc".
    public var tier: String
    public var step: String
    public var conditions: Conditions
    public var nsPerPacket: Figure
    /// What it adds to the step named by `above`, paired by round.
    public var adds: Figure?
    public var above: String?
    /// Packets of all samples together.
    public var packets: Int
    /// The same step in C, and this one's time over that, paired by round.
    public var referenceNs: Double?
    public var referenceRatio: Figure?
    public var samples: [Double]
    /// Where the CPU counts them: in user space and kernel, with what the harness does between packets.
    public var instructionsPerPacket: Figure?
    public var cyclesPerPacket: Figure?
    /// Part `path`: what was counted at the far end, without loss, and the CPU time of all CPUs.
    public var packetsPerSecond: Double?
    public var ndrPacketsPerSecond: Double?
    public var cpuNsPerPacket: Double?
    /// Of tier `afxdp`'s rings: packets that were found at once, and system calls.
    public var packetsPerBurst: Double?
    public var callsPerPacket: Double?
    /// Part `path`: this rate over another network's, medians of one run.
    public var timesFaster: [Ratio]?
    /// Part `path`, several containers: time per packet over that with one.
    public var timesOneContainer: Figure?
    /// Part `path`, many entries: time per packet over that among a thousand.
    public var timesThousandEntries: Figure?
    /// Part `path`: from generator to counter, at parts of the rate without loss.
    public var delays: [Delay]?
  }

  public struct Ratio: Codable, Sendable, Equatable {
    /// A network, as "vxlan".
    public var than: String
    public var median: Double
    public var ci95: [Double]

    init(than: String, figure: Figure) {
      self.than = than
      median = figure.median
      ci95 = figure.ci95
    }
  }

  public struct Delay: Codable, Sendable, Equatable {
    public var percentOfNdr: Int
    public var p50Us: Double
    public var p90Us: Double
    public var p99Us: Double
    public var maxUs: Double
    public var lostFraction: Double
  }

  public init(environment: Environment) { self.environment = environment }

  public func encoded() throws -> Data {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    encoder.keyEncodingStrategy = .convertToSnakeCase
    return try encoder.encode(self)
  }

  public static func decoded(_ data: Data) throws -> CostReport {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    return try decoder.decode(CostReport.self, from: data)
  }
}

extension CostReport.Step {
  /// The same step in another report.
  func isSame(as other: CostReport.Step) -> Bool {
    part == other.part && tier == other.tier && step == other.step && conditions == other.conditions
  }
}

extension CostReport.Conditions {
  /// "IPv4, 64 B, 1000 entries, other ends"
  var words: String {
    var words: [String] = []
    if let ipVersion { words.append("IPv\(ipVersion)") }
    if let bytes { words.append("\(bytes) B") }
    if let entries { words.append("\(Quantity.count(entries)) \(entries == 1 ? "entry" : "entries")") }
    if destinations == "all" { words.append("cold") }
    if let burst { words.append("burst of \(burst)") }
    if let containers, containers > 1 { words.append("\(containers) containers") }
    if let run { words.append(run == 1 ? "frame by frame" : "\(run) frames each") }
    return words.joined(separator: ", ")
  }

  /// "IPv4 64 B 1M cold": where a line is all the room there is.
  var shortWords: String {
    var words: [String] = []
    if let ipVersion { words.append("IPv\(ipVersion)") }
    if let bytes { words.append("\(bytes) B") }
    if let entries { words.append(Quantity.count(entries)) }
    if destinations == "all" { words.append("cold") }
    if let burst { words.append("×\(burst)") }
    if let containers, containers > 1 { words.append("\(containers) ends") }
    if let run { words.append("by \(run)") }
    return words.joined(separator: " ")
  }
}
