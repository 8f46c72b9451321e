// SPDX-License-Identifier: Apache-2.0
import CLibNL
import LinuxSystem
import PacketHeaders

/// What the kernel's look-up of a route is asked about, beside the destination.
public struct RouteQuery: Hashable, Sendable {
  public var destination: IPAddress
  public var source: IPAddress?
  public var outInterface: Int32?
  public var tos: UInt8 = 0
  public var mark: UInt32?
  /// IPPROTO_* and ports, where policy rules may ask for them.
  public var protocolNumber: UInt8?
  public var sourcePort: UInt16?
  public var destinationPort: UInt16?
  /// Asks what becomes of a packet that this interface receives.
  public var inInterface: Int32?

  public init(to destination: IPAddress) { self.destination = destination }
}

/// What of a rule decides differently from packet to packet of one tunnel.
public struct RoutingRule: Hashable, Sendable {
  public var priority: UInt32 = 0
  public var bySourcePort = false
  public var byTOS = false
  public var byMark = false

  init(parsing payload: UnsafeRawBufferPointer) throws(Failure) {
    // struct fib_rule_hdr: family, two lengths, TOS, table …
    byTOS = try payload.read(UInt8.self, at: 3) != 0
    try payload.attributes(after: MemoryLayout<rtmsg>.size).forEach { attribute throws(Failure) in
      switch attribute.type {
      case FRA_PRIORITY: priority = try attribute.integer()
      case FRA_FWMARK: byMark = try attribute.integer(UInt32.self) != 0
      case FRA_SPORT_RANGE, FRA_SPORT_MASK: bySourcePort = true
      case FRA_DSCP, FRA_DSCP_MASK: byTOS = true
      default: break
      }
    }
  }
}

/// An address of an interface.
public struct InterfaceAddress: Hashable, Sendable {
  public var link: Int32
  public var address: IPAddress
  /// Length in bits.
  public var prefix: UInt8
}

/// A prefix that a routing table sends out of an interface.
public struct InterfaceRoute: Hashable, Sendable {
  public var destination: AddressPrefix
  /// 0: a next-hop object's, which is not told.
  public var link: Int32
  /// Through one of several next hops, or by a next-hop object.
  public var isSpread = false
  /// As configured, and not locked.
  public var mtu: UInt32?
}

extension RouteConnection {
  /// What the kernel would do with a packet; see `route(_:)`.
  public func route(
    to destination: IPAddress, outInterface: Int32? = nil, source: IPAddress? = nil
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
    header.rtm_family = UInt8(query.destination.isIPv6 ? AF_INET6 : AF_INET)
    header.rtm_dst_len = query.destination.bits
    header.rtm_src_len = query.source?.bits ?? 0
    header.rtm_tos = query.tos
    header.rtm_flags = flags
    request.append(header: header)
    request.put(Int(RTA_DST.rawValue), query.destination)
    if let source = query.source { request.put(Int(RTA_SRC.rawValue), source) }
    if let link = query.outInterface { request.put(Int(RTA_OIF.rawValue), link) }
    if let link = query.inInterface { request.put(Int(RTA_IIF.rawValue), link) }
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

  /// What the kernel would do with a packet that an interface receives (`inInterface`): RTN_LOCAL where the host
  /// takes it in. A source that rp_filter, rules or routes do not let in is a failure with EINVAL or EXDEV.
  public func inputRoute(_ query: RouteQuery) throws(Failure) -> RouteDecision { try route(query, flags: 0) }

  /// The rules by which routing tables are chosen (ip-rule(8)), of one IP.
  public func rules(ofIPv6 isIPv6: Bool) throws(Failure) -> [RoutingRule] {
    var request = try Request(RTM_GETRULE)
    // struct fib_rule_hdr: as long as struct rtmsg, the family first.
    var header = rtmsg()
    header.rtm_family = UInt8(isIPv6 ? AF_INET6 : AF_INET)
    request.append(header: header)
    return try collect(request, "rules", type: RTM_NEWRULE) { payload throws(Failure) in
      try RoutingRule(parsing: payload)
    }
  }

  /// Addresses of all interfaces, of one IP.
  public func addresses(ofIPv6 isIPv6: Bool) throws(Failure) -> [InterfaceAddress] {
    var request = try Request(RTM_GETADDR)
    var header = ifaddrmsg()
    header.ifa_family = UInt8(isIPv6 ? AF_INET6 : AF_INET)
    request.append(header: header)
    return try collect(request, "addresses", type: RTM_NEWADDR) { payload throws(Failure) in
      let header = try payload.read(ifaddrmsg.self, at: 0)
      var local: IPAddress?
      var address: IPAddress?
      try payload.attributes(after: MemoryLayout<ifaddrmsg>.size).forEach { attribute throws(Failure) in
        switch attribute.type {
        case IFA_LOCAL: local = try attribute.address()
        // IPv6 names its own address so where the link has no far end.
        case IFA_ADDRESS: if isIPv6 { address = try attribute.address() }
        default: break
        }
      }
      return (local ?? address).map {
        InterfaceAddress(link: Int32(header.ifa_index), address: $0, prefix: header.ifa_prefixlen)
      }
    }
  }

  /// Unicast routes of one IP, of every table, each as often as it has next hops.
  public func routes(ofIPv6 isIPv6: Bool) throws(Failure) -> [InterfaceRoute] {
    var request = try Request(RTM_GETROUTE)
    var header = rtmsg()
    header.rtm_family = UInt8(isIPv6 ? AF_INET6 : AF_INET)
    header.rtm_type = UInt8(RTN_UNICAST)
    request.append(header: header)
    let all: [[InterfaceRoute]] = try collect(request, "routes", type: RTM_NEWROUTE) { payload throws(Failure) in
      try Self.routes(parsing: payload, isIPv6: isIPv6)
    }
    return all.flatMap { $0 }
  }

  /// One, or one for each of several next hops.
  private static func routes(
    parsing payload: UnsafeRawBufferPointer, isIPv6: Bool
  ) throws(Failure) -> [InterfaceRoute]? {
    let header = try payload.read(rtmsg.self, at: 0)
    var destination: IPAddress = isIPv6 ? .v6(.any) : .v4(.any)
    var link: Int32?
    var isObject = false
    var mtu: UInt32?
    var hops: [Int32] = []
    try payload.attributes(after: MemoryLayout<rtmsg>.size).forEach { attribute throws(Failure) in
      switch Int(attribute.type) {
      case Int(RTA_DST.rawValue): destination = try attribute.address()
      case Int(RTA_OIF.rawValue): link = try attribute.integer()
      case Int(RTA_NH_ID.rawValue): isObject = true
      case Int(RTA_METRICS.rawValue): mtu = try Self.unlockedMTU(attribute.nested)
      case Int(RTA_MULTIPATH.rawValue): hops = try Self.nextHops(attribute.payload)
      default: break
      }
    }
    guard header.rtm_type == UInt8(RTN_UNICAST), let prefix = AddressPrefix(destination, length: Int(header.rtm_dst_len))
    else { return nil }
    if let link { return [InterfaceRoute(destination: prefix, link: link, isSpread: isObject, mtu: mtu)] }
    if hops.isEmpty { hops = [0] }
    return hops.map { InterfaceRoute(destination: prefix, link: $0, isSpread: true, mtu: mtu) }
  }

  private static func unlockedMTU(_ metrics: Attributes) throws(Failure) -> UInt32? {
    var mtu: UInt32?
    var locked: UInt32 = 0
    try metrics.forEach { attribute throws(Failure) in
      switch attribute.type {
      case RTAX_MTU: mtu = try attribute.integer()
      case RTAX_LOCK: locked = try attribute.integer()
      default: break
      }
    }
    return locked & (1 << UInt32(RTAX_MTU)) == 0 ? mtu : nil
  }

  /// The interfaces of RTA_MULTIPATH: struct rtnexthop, each with its length in front.
  private static func nextHops(_ payload: UnsafeRawBufferPointer) throws(Failure) -> [Int32] {
    var links: [Int32] = []
    var place = 0
    while place + 8 <= payload.count {
      links.append(try payload.read(Int32.self, at: place + 4))
      let length = Int(try payload.read(UInt16.self, at: place))
      guard length >= 8 else { throw .malformed("RTA_MULTIPATH") }
      place += (length + 3) & ~3
    }
    return links
  }
}
