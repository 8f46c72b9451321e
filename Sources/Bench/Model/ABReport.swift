// SPDX-License-Identifier: Apache-2.0
import Foundation
import LinuxSystem

/// A result of `culvert ab`: JSON schema `culvert.ab/1`. Fields are added, never renamed or removed.
public struct ABReport: Codable, Sendable, Equatable {
  public static let schemaName = "culvert.ab/1"

  public var schema = ABReport.schemaName
  public var environment: Environment
  public var settings: Settings
  public var results: [Result] = []
  public var comparisons: [Comparison] = []
  public var noiseFloor: [NoiseFloor] = []
  /// false: interrupted; what is here was measured, the rest was not.
  public var complete = false
  public var gates: [Gate] = []

  public struct Environment: Codable, Sendable, Equatable {
    /// Median over the run, and the extremes: the machine changes state by minutes.
    public var cpuDistanceNs: Double?
    public var cpuDistanceRangeNs: [Double]?
    /// "tuned" or "as-shipped".
    public var baseline: String
    public var kernel: String
    public var cpu: String
    public var cpus: Int
    public var virtualised: Bool
    public var mitigations: [String: String]
    public var culvert: String
    public var debugBuild: Bool
    public var offloads: [String: String]
    /// Outer UDP checksum of the VXLAN devices where a row does not say otherwise: "on" or "off".
    public var outerChecksum: String?

    public init(
      machine: MachineEnvironment, baseline: String, offloads: [String: String], outerChecksum: String? = nil
    ) {
      self.outerChecksum = outerChecksum
      self.baseline = baseline
      self.kernel = machine.kernel
      self.cpu = machine.cpu
      self.cpus = machine.cpus
      self.virtualised = machine.virtualised
      self.mitigations = machine.mitigations
      self.culvert = Build.version
      self.debugBuild = Build.isDebug
      self.offloads = offloads
    }
  }

  public struct Settings: Codable, Sendable, Equatable {
    public var repeats: Int
    public var durationS: Double
    public var order = "interleaved"
    /// Placement → which CPU each end is on.
    public var pinning: [String: [String: Int]]
    public var baselineNetwork: String
    public var networks: [String]
    /// The tiers served ports although netfilter could have decided otherwise (`--as-shipped`).
    public var bypassPolicy: Bool
    public var warmUpS: Double?
    public var quick: Bool?
    /// What a quick comparison left out.
    public var leftOut: [String]?
    public init(
      repeats: Int, durationS: Double, pinning: [String: [String: Int]], baselineNetwork: String,
      networks: [String], bypassPolicy: Bool = false
    ) {
      self.bypassPolicy = bypassPolicy
      self.repeats = repeats
      self.durationS = durationS
      self.pinning = pinning
      self.baselineNetwork = baselineNetwork
      self.networks = networks
    }
  }

  public struct Tier: Codable, Sendable, Equatable {
    public var requested: String
    public var obtained: String
    /// Of the packets that it decided on, the part that it carried, the rest it left to the kernel: the least
    /// over the row's trials and hosts.
    public var share: Double?
    /// Of tier `afxdp`, medians over the trials: how many packets its workers found at once, and their system
    /// calls for the rings.
    public var packetsPerBurst: Double?
    public var callsPerPacket: Double?
    public init(requested: String, obtained: String, share: Double? = nil) {
      self.requested = requested
      self.obtained = obtained
      self.share = share
    }
  }

  public struct Result: Codable, Sendable, Equatable {
    public var network: String
    public var workload: String
    public var size: Int
    public var offloads: String
    public var placement: String
    /// Parallel flows; nil: one.
    public var flows: Int?
    /// "sender" or "receiver": the tier is on that host only; nil: on both.
    public var ends: String?
    /// Outer UDP checksum of the VXLAN devices, "on" or "off"; nil: as the environment has it.
    public var outerChecksum: String?
    /// "one-host": all ends are on the first; "one-to-many": one is; nil: as far as the network reaches.
    public var span: String?
    public var metric: String
    public var unit: String
    public var samples: [Double]
    public var median: Double?
    /// Medians over the trials.
    public var latencyUs: [String: Double]?
    /// Of all trials together: pairs of percentile and microseconds, ascending.
    public var latencyDistribution: [[Double]]?
    public var transactionsPerSecond: Double?
    public var sentPerSecond: Double?
    /// Mean over the trials.
    public var lostFraction: Double?
    /// Of TCP, by the sender's TCP_INFO: segments sent again, as a part of all that were sent, all trials together.
    public var retransmittedFraction: Double?
    /// tcp-stream behind a plain kernel receiver: mean bytes of the skbs that its GRO made, as its VXLAN device
    /// counted them. Median over the trials.
    public var skbBytes: Double?
    /// CPU time of all CPUs per packet (udp-rr: per round trip); tcp-stream has it per byte.
    public var cpuNsPerPacket: Double?
    public var cpuNsPerByte: Double?
    /// Of a launch: what was done in turn, medians over the trials.
    public var partsMs: [String: Double]?
    /// Of the CPU of the end whose demand it is: how much of it was taken. Median over the trials.
    public var cpuPercent: Double?
    /// The metric with the meter's spinners running over the median without: how much measuring the cost
    /// changed.
    public var cpuCheckRatio: Double?
    public var tier: Tier?
    /// An interruption cut the row short.
    public var interrupted: Bool?
    /// Why there are no samples.
    public var skipped: String?
    /// The correctness gate, or a trial, failed.
    public var failed: String?
  }

  public struct Comparison: Codable, Sendable, Equatable {
    public var a: String
    public var b: String
    public var workload: String
    public var size: Int
    public var offloads: String
    public var placement: String
    /// Parallel flows; nil: one.
    public var flows: Int?
    /// "sender" or "receiver": the tier is on that host only; nil: on both.
    public var ends: String?
    /// Outer UDP checksum of the VXLAN devices, "on" or "off"; nil: as the environment has it.
    public var outerChecksum: String?
    /// "one-host": all ends are on the first; "one-to-many": one is; nil: as far as the network reaches.
    public var span: String?
    public var metric: String
    public var ratio: Double
    public var ci95: [Double]
    public var better: Direction
    public var verdict: Verdict
    public var pairs: Int
    /// Pairs thrown away because the machine changed state between their trials, and repeated.
    public var droppedPairs: Int
    /// Pairs among `pairs` in which the machine changed state: it never settled for enough others.
    public var unsettledPairs: Int?
    /// What `ratio` and `ci95` are of.
    public var pairRatios: [Double]?
  }

  public struct NoiseFloor: Codable, Sendable, Equatable {
    public var network: String
    public var workload: String
    public var size: Int
    public var offloads: String
    public var placement: String
    /// Parallel flows; nil: one.
    public var flows: Int?
    /// "sender" or "receiver": the tier is on that host only; nil: on both.
    public var ends: String?
    /// Outer UDP checksum of the VXLAN devices, "on" or "off"; nil: as the environment has it.
    public var outerChecksum: String?
    /// "one-host": all ends are on the first; "one-to-many": one is; nil: as far as the network reaches.
    public var span: String?
    public var metric: String
    public var ratio: Double
    public var ci95: [Double]
  }

  /// One run of the correctness gate.
  public struct Gate: Codable, Sendable, Equatable {
    public var network: String
    public var offloads: String
    public var hosts: String
    public var passed: Bool
    public var summary: String
  }

  public init(environment: Environment, settings: Settings) {
    self.environment = environment
    self.settings = settings
  }

  public func encoded() throws -> Data {
    let encoder = JSONEncoder()
    encoder.keyEncodingStrategy = .convertToSnakeCase
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    return try encoder.encode(self)
  }

  public static func decoded(_ data: Data) throws -> ABReport {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    return try decoder.decode(ABReport.self, from: data)
  }
}
