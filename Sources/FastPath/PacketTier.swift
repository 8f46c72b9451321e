// SPDX-License-Identifier: Apache-2.0
import CBPFObjects
import DataPlane
import Netlink
import PacketHeaders

/// A place where packets are processed, shared by the overlays of an underlay. It is told the tables' differences and
/// which devices to sit on; it never decides where packets go.
protocol PacketTier: AnyObject {
  var tier: Tier { get }
  /// What was obtained, as "native", never what was hoped for.
  var mode: String { get }
  /// What the veth peer of a container's port must have on or off; nothing where skbs stay what they are.
  var portEndFeatures: [String: Bool] { get }
  /// The same of a veth that is an uplink.
  var uplinkEndFeatures: [String: Bool] { get }
  var redirection: Redirection { get }
  /// Programs of its own.
  var programIDs: Set<UInt32> { get }
  /// Whether what its programs pass stays as fast as without them: segments stay whole.
  var keepsSegments: Bool { get }
  var tables: BPFTables { get }

  /// Loads what a domain's ports, or an uplink, are to run.
  func prepare(_ role: PortRole, slot: UInt32) throws
  /// No port of it is attached any more.
  func forget(_ role: PortRole, slot: UInt32)
  /// Why an interface cannot be an uplink as it is set; runs in its namespace.
  func objection(toUplink link: Link) throws -> String?
  /// Why an interface cannot be a container's port, found before anything is changed for it.
  func objection(toPort link: Link) -> String?
  /// Why no port of a domain can reach an uplink; runs in the ports' namespace.
  func objection(toDomain domain: UInt32) throws -> String?
  /// Whether an announcement of the ports' namespace is about a device that the tier made there for itself.
  func isOwnDevice(_ event: NetlinkEvent, domain: UInt32) -> Bool
  /// Attaches to a device. Runs in its namespace.
  /// - Parameters:
  ///   - endIsSeen: it is a veth whose far end has the features that were asked for.
  ///   - journal: where is written down what would outlive this process.
  func attach(_ link: Link, slot: UInt32, _ role: PortRole, endIsSeen: Bool, journal: JournalFile) throws
  /// Looks again at what a device can do, and says whether its mode is another now; runs in its namespace.
  func recheck(_ link: Link, slot: UInt32) throws -> Bool
  /// What was obtained of one device that is attached to.
  func mode(slot: UInt32) -> String
  /// Publishes a changed MTU or MAC of an attached device.
  func update(_ link: Link, slot: UInt32) throws
  /// Detaches from a device; also when it is gone already.
  func detach(slot: UInt32)
  /// What would outlive this process is written down elsewhere from now on.
  func move(slot: UInt32, to journal: JournalFile) throws
  func set(_ resolution: TunnelResolution, of key: TunnelKey, uplink: UInt32, slot: UInt32) throws
  func clearTunnel(slot: UInt32) throws
  /// After a batch of changes: a tier that works on a snapshot publishes it now.
  func commit() throws
  func counters(slot: UInt32) throws -> SlotCounters
  /// What its threads did; nil where it has none.
  var work: [Work]? { get }
}

/// Whether frames leave by XDP's redirection, which a device must take (ndo_xdp_xmit).
enum Redirection {
  case none
  /// To devices that do, and by the sockets to others.
  case whereReady
  case always
}

/// Features of a veth's other end, by their names in ethtool.
enum EndFeatures {
  /// Frames leave the skb behind, and a raw frame has no mark for a checksum that is still to be made.
  /// The same of VLAN tags, which then travel in the frame.
  static let completeChecksums = [
    "tx-checksum-ip-generic": false, "tx-checksum-sctp": false,
    "tx-vlan-hw-insert": false, "tx-vlan-stag-hw-insert": false,
  ]
  /// A redirect into a veth needs NAPI at the other end, which GRO switches on.
  static let redirectTarget = ["rx-gro": true]
}

extension PacketTier {
  var uplinkEndFeatures: [String: Bool] { portEndFeatures }
  var keepsSegments: Bool { false }
  func objection(toUplink link: Link) throws -> String? { nil }
  func objection(toPort link: Link) -> String? { nil }
  func objection(toDomain domain: UInt32) throws -> String? { nil }
  func isOwnDevice(_ event: NetlinkEvent, domain: UInt32) -> Bool { false }
  var work: [Work]? { nil }
  func recheck(_ link: Link, slot: UInt32) throws -> Bool { false }
  func mode(slot: UInt32) -> String { mode }
  func move(slot: UInt32, to journal: JournalFile) throws {}
  func set(_ resolution: TunnelResolution, of key: TunnelKey, uplink: UInt32, slot: UInt32) throws {
    try tables.set(resolution, of: key, uplink: uplink, slot: slot)
  }
  func clearTunnel(slot: UInt32) throws { try tables.clearTunnel(slot: slot) }
  /// Every change is in force at once.
  func commit() throws {}
}

/// One overlay's part of what the overlays of an underlay share.
final class DomainTables: TableSink {
  let tier: any PacketTier
  let domain: UInt32
  private let uplink: UInt32

  /// - Parameter uplink: slot of the port that its packets leave by.
  init(_ tier: any PacketTier, domain: UInt32, uplink: UInt32) {
    self.tier = tier
    self.domain = domain
    self.uplink = uplink
  }

  func set(_ entry: ForwardingEntry, for mac: MACAddress) throws {
    try tier.tables.set(entry, for: mac, domain: domain)
  }
  func remove(_ mac: MACAddress) throws { try tier.tables.remove(mac, domain: domain) }
  func set(_ resolution: TunnelResolution, of key: TunnelKey, slot: UInt32) throws {
    try tier.set(resolution, of: key, uplink: uplink, slot: slot)
  }
  func clearTunnel(slot: UInt32) throws { try tier.clearTunnel(slot: slot) }
  /// Which addresses hear this domain's VNI.
  func setVNIs(_ keys: Set<VNIKey>) throws { try tier.tables.setVNIs(keys, domain: domain) }
  /// --strict: the VTEPs that were configured rather than learned.
  func setVTEPs(_ remotes: Set<IPAddress>) throws { try tier.tables.setVTEPs(remotes, domain: domain) }
  func reader() throws -> TableReader { try tier.tables.reader(domain: domain) }
}

/// What a VXLAN header and its outer header must say to be this overlay's.
struct VNIKey: Hashable {
  var vni: UInt32
  var local: IPAddress
  var port: UInt16
  /// Over IPv6: also without an outer checksum.
  var takesZeroChecksum = false

  /// What decides whether a packet is meant.
  var place: Place { Place(vni: vni, local: local, port: port) }
  struct Place: Hashable {
    var vni: UInt32
    var local: IPAddress
    var port: UInt16
  }
}

/// One port's counters, summed over CPUs.
struct SlotCounters {
  var packets: [Verdict: UInt64] = [:]
  var bytes: [Verdict: UInt64] = [:]
  /// Sent out by this device and refused there: full ring, failed transmission.
  /// nil where the kernel cannot tell.
  var notSent: UInt64?
  /// Forwarded from this device to an egress device that took no frames.
  var notRedirected: UInt64?

  var allBytes: UInt64 { bytes.values.reduce(0, &+) }

  mutating func add(_ other: SlotCounters) {
    packets.merge(other.packets) { $0 + $1 }
    bytes.merge(other.bytes) { $0 + $1 }
    if let more = other.notSent { notSent = (notSent ?? 0) + more }
    if let more = other.notRedirected { notRedirected = (notRedirected ?? 0) + more }
  }
}
