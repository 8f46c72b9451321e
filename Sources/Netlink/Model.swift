// SPDX-License-Identifier: Apache-2.0
import PacketHeaders

/// A network interface as RTM_NEWLINK describes it (rtnetlink(7)).
public struct Link: Hashable, Sendable {
  public var index: Int32
  public var name: String
  public var flags: UInt32
  public var mtu: UInt32
  public var mac: MACAddress?
  /// IFLA_INFO_KIND: "bridge", "vxlan", "veth" …; nil for hardware.
  public var kind: String?
  /// IFLA_MASTER: the bridge this is a port of.
  public var master: Int32?
  /// IFLA_LINK: a veth's other end, a VXLAN device's underlay device.
  public var peer: Int32?
  /// IFLA_LINK_NETNSID: where `peer` lives when it is another namespace.
  public var peerNamespaceID: Int32?
  public var receiveQueues: UInt32
  public var transmitQueues: UInt32
  /// IFLA_XDP: what is attached, as XDP_ATTACHED_* and the program's id.
  public var xdpAttached: UInt8
  public var xdpProgramID: UInt32?
  /// IFLA_QDISC.
  public var qdisc: String?
  public var bridge: BridgeAttributes?
  public var bridgePort: BridgePortAttributes?
  public var vxlan: VXLANAttributes?

  public var isUp: Bool { flags & 1 != 0 }
  /// IFF_LOWER_UP
  public var hasCarrier: Bool { flags & 0x10000 != 0 }
}

/// IFLA_BR_*: what of a bridge decides about forwarding.
public struct BridgeAttributes: Hashable, Sendable {
  /// IFLA_BR_AGEING_TIME in seconds (the kernel's unit is USER_HZ).
  public var ageingSeconds: Double
  public var vlanFiltering: Bool
  public var stpState: UInt32
  /// IFLA_BR_NF_CALL_IPTABLES, _IP6TABLES, _ARPTABLES of this bridge.
  public var nfCallIPTables: Bool
  public var nfCallIP6Tables: Bool
  public var nfCallARPTables: Bool
  /// IFLA_BR_FDB_N_LEARNED etc. change by themselves and are left out on purpose.
}

/// IFLA_BRPORT_*: what of a bridge's port decides about forwarding.
public struct BridgePortAttributes: Hashable, Sendable {
  /// BR_STATE_* (3 is forwarding).
  public var state: UInt8
  public var learning: Bool
  public var isolated: Bool
  public var locked: Bool
  public var hairpin: Bool
  public var neighbourSuppression: Bool
  public var vlanTunnel: Bool
  /// IFLA_BRPORT_BACKUP_PORT: where frames go instead while the port has no carrier.
  public var hasBackup = false
}

/// IFLA_VXLAN_*: a VXLAN device's configuration (RFC 7348).
public struct VXLANAttributes: Hashable, Sendable {
  public var vni: UInt32
  /// Network order on the wire, host order here.
  public var port: UInt16
  public var portRange: ClosedRange<UInt16>?
  public var local: IPAddress?
  /// IFLA_VXLAN_LOCAL6, _GROUP6: an IPv6 underlay.
  public var isIPv6: Bool
  public var group: IPAddress?
  public var link: Int32?
  public var ttl: UInt8
  public var ttlInherit: Bool
  /// 1 inherits from the inner header.
  public var tos: UInt8
  /// VXLAN_DF_*: 0 unset, 1 set, 2 inherit.
  public var df: UInt8
  public var learning: Bool
  /// IFLA_VXLAN_AGEING, seconds.
  public var ageingSeconds: UInt32
  /// IFLA_VXLAN_UDP_CSUM over IPv4, _ZERO_CSUM6_TX over IPv6: whether an outer checksum is sent.
  public var udpChecksum: Bool
  /// IFLA_VXLAN_ZERO_CSUM6_RX: over IPv6 packets without an outer checksum are taken.
  public var takesZeroChecksum = false
  /// IFLA_VXLAN_LABEL: the outer flow label over IPv6.
  public var flowLabel: UInt32 = 0
  /// Any of GBP, GPE, collect-metadata, remote checksum, L2MISS/L3MISS, RSC,
  /// proxy, VNI filter, MDB, label policy …: the names of those that are on.
  public var extensions: [String]
}

/// RTM_NEWNEIGH of family AF_BRIDGE: one entry of a bridge's or a VXLAN device's FDB.
public struct FDBEntry: Hashable, Sendable {
  /// The device whose message this is: the bridge's port, the bridge, or the VXLAN device.
  public var link: Int32
  public var mac: MACAddress
  /// NDA_MASTER: set on a bridge's entries, nil on a VXLAN device's own.
  public var master: Int32?
  public var vlan: UInt16?
  /// NUD_* and NTF_* as the kernel sends them.
  public var state: UInt16
  public var flags: UInt8
  public var extendedFlags: UInt32
  /// NDA_DST: the remote VTEP.
  public var destination: IPAddress?
  /// NDA_PORT, NDA_VNI, NDA_SRC_VNI, NDA_IFINDEX where the entry overrides the device.
  public var port: UInt16?
  public var vni: UInt32?
  public var sourceVNI: UInt32?
  public var outInterface: Int32?
  /// NDA_NH_ID: the entry's destination is a next-hop object.
  public var nextHopID: UInt32?

  /// NTF_SELF without a master: the VXLAN device's own table.
  public var isOfDevice: Bool { master == nil }
  /// NUD_PERMANENT: the bridge's or port's own address (local).
  public var isPermanent: Bool { state & 0x80 != 0 }
  /// NUD_NOARP: does not age.
  public var isStatic: Bool { state & 0x40 != 0 }
}

/// RTM_NEWNEIGH of AF_INET or AF_INET6: what ARP or ND found.
public struct Neighbour: Hashable, Sendable {
  public var link: Int32
  public var address: IPAddress
  public var mac: MACAddress?
  /// NUD_*
  public var state: UInt16
  /// NUD_VALID: the address may be used.
  public var isValid: Bool { state & 0xde != 0 }
  /// NUD_STALE: usable, not confirmed for a while.
  public var isStale: Bool { state & 0x04 != 0 }
}

/// RTM_GETROUTE's answer for one destination: what the kernel would do with a packet.
public struct RouteDecision: Hashable, Sendable {
  /// RTN_UNICAST is 1, RTN_LOCAL 2.
  public var type: UInt8
  public var outInterface: Int32?
  public var gateway: IPAddress?
  public var preferredSource: IPAddress?
  /// RTAX_MTU, RTAX_HOPLIMIT where the route sets them.
  public var mtu: UInt32?
  public var hopLimit: UInt32?
  /// More than one next hop, or a lightweight tunnel: not one positive answer.
  public var isMultipath: Bool
  public var hasEncapsulation: Bool
  /// RTA_NH_ID: the route's next hop is an object of its own.
  public var nextHopID: UInt32?
  /// What ICMP told of this destination (path MTU, redirect) is part of it, until it expires.
  public var isLearned = false
  /// For who asked about that too: packets that come from the destination are not taken in.
  public var refusesSource = false
}

/// What may have changed of the kernel's routing decisions.
public enum RoutingChange: Hashable, Sendable {
  /// A route of some table.
  case route(to: IPAddress, prefix: UInt8)
  /// Addresses, rules, next-hop objects, whole interfaces.
  case everything
}

/// A change that the kernel announced.
public enum NetlinkEvent: Sendable {
  case link(Link)
  case linkGone(Int32, name: String)
  /// A bridge port's state (RTM_NEWLINK of AF_BRIDGE); nil when it left the bridge.
  case bridgePort(link: Int32, master: Int32?, BridgePortAttributes?)
  case fdb(FDBEntry)
  case fdbGone(FDBEntry)
  case neighbour(Neighbour)
  case neighbourGone(Neighbour)
  /// Routes, rules, addresses, next-hop objects or rp_filter changed: ask again.
  case routing(RoutingChange)
}
