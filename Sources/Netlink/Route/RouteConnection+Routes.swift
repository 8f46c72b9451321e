// SPDX-License-Identifier: Apache-2.0
import CLibNL
import LinuxSystem
import PacketHeaders

/// What the kernel's look-up of a route is asked about, beside the destination.
public struct RouteQuery: Hashable, Sendable {
  public var destination: IPv4Address
  public var source: IPv4Address?
  public var outInterface: Int32?
  public var tos: UInt8 = 0
  public var mark: UInt32?
  /// IPPROTO_* and ports, where policy rules may ask for them.
  public var protocolNumber: UInt8?
  public var sourcePort: UInt16?
  public var destinationPort: UInt16?

  public init(to destination: IPv4Address) { self.destination = destination }
}

/// An IPv4 address of an interface.
public struct InterfaceAddress: Hashable, Sendable {
  public var link: Int32
  public var address: IPv4Address
  /// Length in bits.
  public var prefix: UInt8
}

extension RouteConnection {
  /// What the kernel would do with a packet; see `route(_:)`.
  public func route(
    to destination: IPv4Address, outInterface: Int32? = nil, source: IPv4Address? = nil
  ) throws(Failure) -> RouteDecision {
    var query = RouteQuery(to: destination)
    query.outInterface = outInterface
    query.source = source
    return try route(query)
  }

  /// Asks twice: for the path that a packet takes now (interface, gateway, source,
  /// with path MTU), and for the route's configuration, where several next hops and
  /// encapsulations show. No route is a failure with ENETUNREACH or EHOSTUNREACH.
  public func route(_ query: RouteQuery) throws(Failure) -> RouteDecision {
    var decision = try route(query, flags: 0)
    let configured = try route(query, flags: UInt32(RTM_F_FIB_MATCH))
    decision.hasEncapsulation = decision.hasEncapsulation || configured.hasEncapsulation
    decision.nextHopID = configured.nextHopID
    // With nexthop_compat_mode off an object stands for itself: what is in it is unknown.
    decision.isMultipath =
      configured.isMultipath || (configured.nextHopID != nil && configured.outInterface == nil)
    decision.mtu = decision.mtu ?? configured.mtu
    decision.hopLimit = decision.hopLimit ?? configured.hopLimit
    return decision
  }

  private func route(_ query: RouteQuery, flags: UInt32) throws(Failure) -> RouteDecision {
    var request = try Request(RTM_GETROUTE)
    var header = rtmsg()
    header.rtm_family = UInt8(AF_INET)
    header.rtm_dst_len = 32
    header.rtm_src_len = query.source == nil ? 0 : 32
    header.rtm_tos = query.tos
    header.rtm_flags = flags
    request.append(header: header)
    request.put(Int(RTA_DST.rawValue), query.destination)
    if let source = query.source { request.put(Int(RTA_SRC.rawValue), source) }
    if let link = query.outInterface { request.put(Int(RTA_OIF.rawValue), link) }
    if let mark = query.mark { request.put(Int(RTA_MARK.rawValue), mark) }
    if let number = query.protocolNumber { request.put(Int(RTA_IP_PROTO.rawValue), number) }
    if let port = query.sourcePort { request.put(Int(RTA_SPORT.rawValue), port.bigEndian) }
    if let port = query.destinationPort { request.put(Int(RTA_DPORT.rawValue), port.bigEndian) }
    var decision: RouteDecision?
    try socket.transact(request, "look up route to", "\(query.destination)") { message throws(Failure) in
      if message.type == RTM_NEWROUTE { decision = try RouteDecision(parsing: message.payload) }
    }
    guard let decision else {
      throw Failure("look up route to", "\(query.destination)", errno: .networkUnreachable)
    }
    return decision
  }

  /// IPv4 addresses of all interfaces.
  public func addresses() throws(Failure) -> [InterfaceAddress] {
    var request = try Request(RTM_GETADDR)
    var header = ifaddrmsg()
    header.ifa_family = UInt8(AF_INET)
    request.append(header: header)
    return try collect(request, "addresses", type: RTM_NEWADDR) { payload throws(Failure) in
      let header = try payload.read(ifaddrmsg.self, at: 0)
      var local: IPv4Address?
      try payload.attributes(after: MemoryLayout<ifaddrmsg>.size).forEach { attribute throws(Failure) in
        if attribute.type == IFA_LOCAL { local = try attribute.ipv4() }
      }
      return local.map {
        InterfaceAddress(link: Int32(header.ifa_index), address: $0, prefix: header.ifa_prefixlen)
      }
    }
  }
}
