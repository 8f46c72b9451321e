// SPDX-License-Identifier: Apache-2.0
import DataPlane
import Netlink

/// What `culvert status --json` prints of one overlay.
public struct Status: Codable, Sendable {
  public var schema = "culvert.status/1"
  public var pid: Int32
  /// "ready"; "starting" (or ending); "stopped" (SIGSTOP) and "silent" for a process that does not answer; "dead" for
  /// one that ended without `down`, "ended" for a detached one that ended by itself, and restored what it had changed
  /// (its process may go on with others).
  /// "looking" is no overlay's, but that of a process which serves every overlay that it finds.
  public var state: String
  public var namespace: String
  public var overlay: String
  public var bridge: String
  @LeftOutIfEmpty public var vxlan: String
  @LeftOutIfEmpty public var vni: UInt32
  @LeftOutIfEmpty public var uplink: String
  @LeftOutIfEmpty public var tier: String
  /// "native" or "generic": what was obtained on every attached port.
  @LeftOutIfEmpty public var mode: String
  public var strict: Bool
  public var ports: [Port]
  public var entries: Entries
  public var tunnels: [Tunnel]
  /// Journalled changes to containers' ends that are in force.
  public var changes: [String]
  /// What a detached process said after it was ready, while the file is there.
  public var log: String?
  /// Of one that ended by itself: why and when (ISO 8601).
  public var reason: String?
  public var time: String?
  /// Of segments: "auto" is zero, "exact" leaves them to the kernel where the device is set to send one.
  public var outerChecksum: String?
  /// What becomes of segments on a VXLAN device that sends checksums: "zero", or "kernel" for those that are left to it.
  public var segmentChecksum: String?
  /// Of a routed overlay: "kernel" or "connections".
  public var policy: String?
  /// With policy by connections, while there are any to follow.
  public var connections: Connections?
  /// Of a process that looks for overlays.
  public var found: Found?
  /// Of a routed overlay: why packets with one IP inside are left to the kernel, by "IPv4" and "IPv6".
  public var left: [String: String]?

  /// TCP connections that conntrack told of.
  public struct Connections: Codable, Sendable, Equatable {
    /// Established ones that concern the overlay.
    public var followed: UInt64
    /// Made liberal and marked: their packets may pass the rules by.
    public var marked: UInt64
    /// Given back to the rules since these changed.
    public var withdrawn: UInt64
    /// Stay with the kernel, by reason.
    public var refused: [String: UInt64]
  }

  public struct Found: Codable, Sendable {
    /// In every namespace that a mount or a process holds, or in one.
    public var allNamespaces: Bool
    public var served: Int
    public var refused: [Refused]

    enum CodingKeys: String, CodingKey {
      case allNamespaces = "all_namespaces"
      case served, refused
    }
  }
  /// An overlay that was found and is not served.
  public struct Refused: Codable, Sendable {
    public var overlay: String
    public var namespace: String
    public var reason: String
  }

  /// Over IPv6 segments carry the checksum that the device is set to send, and other tiers send none.
  static func segmentChecksum(_ options: FastPathOptions, _ tier: Tier, _ device: VXLANAttributes?) -> String? {
    guard tier == .tc, let device, device.udpChecksum, !device.isIPv6 else { return nil }
    return options.outerChecksum == .exact ? "kernel" : "zero"
  }

  public struct Port: Codable, Sendable {
    public var name: String
    public var index: Int32
    /// "uplink" or "container".
    public var role: String
    /// nil while the port is the kernel's alone.
    public var tier: String?
    public var mode: String?
    /// Why the port is the kernel's.
    public var reason: String?
  }
  public struct Entries: Codable, Sendable {
    public var local = 0
    public var remote = 0
    public var kernel = 0
    /// Did not fit into the map.
    public var refused = 0
  }
  public struct Tunnel: Codable, Sendable {
    public var remote: String
    public var port: UInt16
    public var vni: UInt32
    public var entries: Int
    /// Why packets for it go to the kernel at present.
    public var reason: String?
  }
}

/// What `culvert stats --json` prints of one overlay: per port,
/// in = forwarded + passed + dropped, each by reason.
public struct Stats: Codable, Sendable {
  public var schema = "culvert.stats/1"
  public var overlay: String
  public var namespace: String
  public var ports: [Port]
  /// Of tier `afxdp`, one after the other.
  public var workers: [Work]?
  /// When it was read (ISO 8601), where it is read again and again.
  public var time: String?

  public struct Count: Codable, Sendable, Equatable {
    public var packets: UInt64 = 0
    public var bytes: UInt64 = 0
    /// Since the reading before, where it is read again and again.
    public var packetsPerSecond: Double?
    public var bitsPerSecond: Double?

    enum CodingKeys: String, CodingKey {
      case packets, bytes
      case packetsPerSecond = "packets_per_second"
      case bitsPerSecond = "bits_per_second"
    }

    public init(packets: UInt64 = 0, bytes: UInt64 = 0) {
      self.packets = packets
      self.bytes = bytes
    }
  }
  public struct Port: Codable, Sendable {
    public var name: String
    public var index: Int32
    public var tier: String?
    /// Everything the port's program saw.
    public var received: Count
    public var forwarded: [String: Count]
    public var passed: [String: Count]
    public var dropped: [String: Count]
    /// Frames forwarded to this device by others that it did not send (full ring,
    /// failed transmission), and frames forwarded from here that no device took.
    /// They are among `forwarded`; nil where the kernel cannot tell.
    public var notSent: UInt64?
    public var notRedirected: UInt64?

    enum CodingKeys: String, CodingKey {
      case name, index, tier
      case received = "in"
      case forwarded, passed, dropped
      case notSent = "not_sent"
      case notRedirected = "not_redirected"
    }
  }
}
