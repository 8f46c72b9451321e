// SPDX-License-Identifier: Apache-2.0
import CBPFObjects
import Netlink
import PacketHeaders

/// A way to one remote VTEP: what the VXLAN device would send to (RFC 7348).
public struct TunnelKey: Hashable, Sendable {
  public var remote: IPAddress
  public var port: UInt16
  public var vni: UInt32
  /// The interface that the entry is bound to (NDA_IFINDEX), as the device's default destination is to its `dev`;
  /// 0: what the routing table says.
  public var outInterface: Int32 = 0

  var route: RouteKey { RouteKey(remote: remote, port: port, outInterface: outInterface) }
}

/// What the kernel's look-up of the route to a remote VTEP depends on, beside the device's own configuration.
public struct RouteKey: Hashable, Sendable {
  public var remote: IPAddress
  public var port: UInt16
  public var outInterface: Int32
}

/// A tunnel resolved to the bytes of its outer header, or why it is not.
public enum TunnelResolution: Equatable, Sendable {
  case ready(TunnelHeader)
  /// Why packets go to the kernel: how they are counted, and in words.
  case kernel(Verdict, String)
}

/// The outer header's fields, as the kernel's device would fill them.
public struct TunnelHeader: Equatable, Sendable {
  public var destinationMAC: MACAddress
  public var sourceMAC: MACAddress
  public var local: IPAddress
  public var sourcePorts: ClosedRange<UInt16>
  public var ttl: UInt8
  public var tos: UInt8
  public var flags: UInt32
  /// Layer 3 bytes of the inner packet that fit without fragmentation.
  public var mtu: UInt32
  /// IPv6's.
  public var flowLabel: UInt32 = 0
}

extension TunnelKey {
  /// What the device puts in front of a packet.
  private var overhead: UInt32 { UInt32(remote.isIPv6 ? CULVERT_OUTER6_BYTES : CULVERT_OUTER_BYTES) }

  /// Follows vxlan_xmit_one: device configuration, then route, then neighbour.
  public func resolve(device: Link, underlay: UnderlayState) -> TunnelResolution {
    guard let config = device.vxlan else {
      return .kernel(.passNotResolved, "\(device.name) is not a VXLAN device")
    }
    guard remote.isIPv6 == config.isIPv6 else {
      return .kernel(.passNotResolved, "\(device.name) has no address of \(remote)'s IP")
    }
    guard device.isUp else { return .kernel(.passNotResolved, "\(device.name) is down") }
    guard let uplink = underlay.uplink, uplink.isUp, uplink.hasCarrier, let uplinkMAC = uplink.mac else {
      return .kernel(.passNotResolved, "the uplink is down or has no carrier")
    }
    guard let route = underlay.routes[self.route] else {
      return .kernel(.passNotResolved, "no route to \(remote)")
    }
    guard route.type == 1 else {
      return .kernel(.passNotResolved, "\(remote) is not reached by a unicast route")
    }
    guard !route.isMultipath else {
      return .kernel(.passNotResolved, "the route to \(remote) has several next hops")
    }
    guard !route.hasEncapsulation else {
      return .kernel(.passNotResolved, "the route to \(remote) encapsulates")
    }
    guard route.outInterface == underlay.uplinkIndex else {
      let name = route.outInterface.map { underlay.name(of: $0) } ?? "no interface"
      return .kernel(.passNotResolved, "the route to \(remote) goes out of \(name), not of \(uplink.name)")
    }
    let nextHop = route.gateway ?? remote
    guard let neighbour = underlay.neighbours[nextHop], neighbour.isValid, let mac = neighbour.mac
    else { return .kernel(.passNoNeighbour, "the next hop towards \(remote) is not resolved yet") }
    guard let local = config.local ?? route.preferredSource else {
      return .kernel(.passNotResolved, "no source address towards \(remote)")
    }
    guard !route.refusesSource else {
      return .kernel(
        .passPolicy, "\(uplink.name) would drop packets from \(remote) (rp_filter, a rule or a route)")
    }
    if underlay.encryption.contains(where: { $0.concerns(local: local, remote: remote, port: port) }) {
      return .kernel(.passPolicy, "IPsec protects what is sent to \(remote) or comes from there")
    }
    var flags: UInt32 = 0
    if config.udpChecksum { flags |= CULVERT_TUNNEL_UDP_CSUM.rawValue }
    if config.tos == 1 { flags |= CULVERT_TUNNEL_TOS_INHERIT.rawValue }
    if config.ttlInherit { flags |= CULVERT_TUNNEL_TTL_INHERIT.rawValue }
    switch config.df {
    case 0: break
    case 1: flags |= CULVERT_TUNNEL_DF_SET.rawValue
    case 2: flags |= CULVERT_TUNNEL_DF_INHERIT.rawValue
    default: return .kernel(.passNotResolved, "\(device.name) has an unknown DF policy \(config.df)")
    }
    let interfaceMTU = remote.isIPv6 ? min(underlay.ipv6.mtu ?? uplink.mtu, uplink.mtu) : uplink.mtu
    let wire = min(route.mtu ?? interfaceMTU, interfaceMTU)
    guard wire > overhead else { return .kernel(.passNotResolved, "the uplink's MTU leaves no room") }
    return .ready(
      TunnelHeader(
        destinationMAC: mac, sourceMAC: uplinkMAC, local: local,
        sourcePorts: config.usablePortRange ?? underlay.localPortRange,
        ttl: config.ttl != 0
          ? config.ttl
          : UInt8(clamping: route.hopLimit ?? UInt32(remote.isIPv6 ? underlay.ipv6.hopLimit : underlay.defaultTTL)),
        tos: config.tos == 1 ? 0 : config.tos, flags: flags,
        mtu: min(device.mtu, wire - overhead), flowLabel: config.flowLabel))
  }
}

extension VXLANAttributes {
  /// udp_flow_src_port(): a range without width counts as none.
  fileprivate var usablePortRange: ClosedRange<UInt16>? {
    portRange.flatMap { $0.lowerBound < $0.upperBound ? $0 : nil }
  }
}
