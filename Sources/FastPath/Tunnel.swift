// SPDX-License-Identifier: Apache-2.0
import CBPFObjects
import Netlink
import PacketHeaders

/// A way to one remote VTEP: what the VXLAN device would send to (RFC 7348).
public struct TunnelKey: Hashable, Sendable {
  public var remote: IPv4Address
  public var port: UInt16
  public var vni: UInt32
  /// The interface that the entry is bound to (NDA_IFINDEX), as the device's default destination is to its `dev`;
  /// 0: what the routing table says.
  public var outInterface: Int32 = 0

  var route: RouteKey { RouteKey(remote: remote, port: port, outInterface: outInterface) }
}

/// What the kernel's look-up of the route to a remote VTEP depends on, beside the device's own configuration.
public struct RouteKey: Hashable, Sendable {
  public var remote: IPv4Address
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
  public var local: IPv4Address
  public var sourcePorts: ClosedRange<UInt16>
  public var ttl: UInt8
  public var tos: UInt8
  public var flags: UInt32
  /// Layer 3 bytes of the inner packet that fit without fragmentation.
  public var mtu: UInt32
}

extension TunnelKey {
  /// Follows vxlan_xmit_one: device configuration, then route, then neighbour.
  public func resolve(device: Link, underlay: UnderlayState) -> TunnelResolution {
    guard let config = device.vxlan else {
      return .kernel(.passNotResolved, "\(device.name) is not a VXLAN device")
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
    let nextHop = route.gateway ?? .v4(remote)
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
    let overhead = UInt32(CULVERT_OUTER_BYTES)
    let wire = min(route.mtu ?? uplink.mtu, uplink.mtu)
    guard wire > overhead else { return .kernel(.passNotResolved, "the uplink's MTU leaves no room") }
    return .ready(
      TunnelHeader(
        destinationMAC: mac, sourceMAC: uplinkMAC, local: local,
        sourcePorts: config.usablePortRange ?? underlay.localPortRange,
        ttl: config.ttl != 0
          ? config.ttl : UInt8(clamping: route.hopLimit ?? UInt32(underlay.defaultTTL)),
        tos: config.tos == 1 ? 0 : config.tos, flags: flags,
        mtu: min(device.mtu, wire - overhead)))
  }
}

extension VXLANAttributes {
  /// udp_flow_src_port(): a range without width counts as none.
  fileprivate var usablePortRange: ClosedRange<UInt16>? {
    portRange.flatMap { $0.lowerBound < $0.upperBound ? $0 : nil }
  }
}

extension culvert_tunnel {
  /// The map's value; an unresolved tunnel is all there but `valid`.
  /// - Parameter uplink: slot of the port that it leaves by.
  init(_ key: TunnelKey, _ resolution: TunnelResolution, uplink: UInt32) {
    self.init()
    self.uplink = uplink
    remote = key.remote.bigEndian
    vni_be = (key.vni << 8).bigEndian
    udp_port = key.port.bigEndian
    let header: TunnelHeader
    switch resolution {
    case .ready(let ready): header = ready
    case .kernel(let verdict, _):
      reason = UInt16(verdict.rawValue)
      // Without a route that is usable, what comes from there is the kernel's to judge, too.
      if verdict != .passNoNeighbour { remote = 0 }
      return
    }
    setOctets(&dst_mac, header.destinationMAC)
    setOctets(&src_mac, header.sourceMAC)
    local = header.local.bigEndian
    source_min = header.sourcePorts.lowerBound
    // The kernel's range excludes its end (udp_flow_src_port); this field does not.
    source_max = max(source_min, header.sourcePorts.upperBound &- 1)
    ttl = header.ttl
    tos = header.tos
    flags = header.flags
    mtu = header.mtu
    valid = 1
  }
}

typealias Octets6 = (UInt8, UInt8, UInt8, UInt8, UInt8, UInt8)

func setOctets(_ field: inout Octets6, _ mac: MACAddress) {
  let o = mac.octets
  field = (o[0], o[1], o[2], o[3], o[4], o[5])
}
