// SPDX-License-Identifier: Apache-2.0
import CLibNL
import LinuxSystem
import PacketHeaders

/// A route to write.
public struct RouteSettings: Sendable {
  public var destination: IPAddress
  /// Length in bits.
  public var prefix: UInt8
  public var gateway: IPAddress?
  public var outInterface: Int32?
  public var preferredSource: IPAddress?
  /// RTAX_MTU, in bytes of layer 3.
  public var mtu: UInt32?
  public var hopLimit: UInt32?
  public var nextHopID: UInt32?
  /// The gateway is taken for a neighbour on `outInterface` whatever the routes say (RTNH_F_ONLINK).
  public var isOnLink = false
  /// RTN_BLACKHOLE: what no longer prefix leads elsewhere is dropped in silence.
  public var isBlackhole = false

  public init(to destination: IPAddress, prefix: UInt8) {
    self.destination = destination
    self.prefix = prefix
  }
}

extension RouteConnection {
  /// IPv6 addresses are added without duplicate address detection (IFA_F_NODAD).
  public func addAddress(_ link: Int32, _ address: IPAddress, prefix: UInt8) throws(Failure) {
    try changeAddress(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, "add", link, address, prefix)
  }

  public func deleteAddress(_ link: Int32, _ address: IPAddress, prefix: UInt8) throws(Failure) {
    try changeAddress(RTM_DELADDR, 0, "delete", link, address, prefix)
  }

  private func changeAddress(
    _ type: Int, _ flags: Int32, _ verb: String, _ link: Int32, _ address: IPAddress, _ prefix: UInt8
  ) throws(Failure) {
    var request = try Request(type, flags: flags)
    var header = ifaddrmsg()
    header.ifa_family = address.family
    header.ifa_prefixlen = prefix
    header.ifa_index = UInt32(link)
    if case .v6 = address { header.ifa_flags = UInt8(IFA_F_NODAD) }
    request.append(header: header)
    request.put(IFA_LOCAL, address)
    request.put(IFA_ADDRESS, address)
    try socket.transact(request, "\(verb) address", "\(address.octets)/\(prefix) of interface \(link)")
  }

  /// In the main table.
  public func changeRoute(_ change: TableChange, _ route: RouteSettings) throws(Failure) {
    var request = try Request(change == .delete ? RTM_DELROUTE : RTM_NEWROUTE, flags: change.flags)
    var header = rtmsg()
    header.rtm_family = route.destination.family
    header.rtm_dst_len = route.prefix
    header.rtm_table = UInt8(RT_TABLE_MAIN.rawValue)
    header.rtm_protocol = UInt8(RTPROT_STATIC)
    header.rtm_scope = UInt8(
      (route.gateway == nil && route.nextHopID == nil && !route.isBlackhole ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE)
        .rawValue)
    header.rtm_type = UInt8(route.isBlackhole ? RTN_BLACKHOLE : RTN_UNICAST)
    header.rtm_flags = route.isOnLink ? UInt32(RTNH_F_ONLINK) : 0
    request.append(header: header)
    request.put(Int(RTA_DST.rawValue), route.destination)
    if let gateway = route.gateway { request.put(Int(RTA_GATEWAY.rawValue), gateway) }
    if let link = route.outInterface { request.put(Int(RTA_OIF.rawValue), link) }
    if let source = route.preferredSource { request.put(Int(RTA_PREFSRC.rawValue), source) }
    if let id = route.nextHopID { request.put(Int(RTA_NH_ID.rawValue), id) }
    if route.mtu != nil || route.hopLimit != nil {
      try request.nest(Int(RTA_METRICS.rawValue)) { request throws(Failure) in
        if let mtu = route.mtu { request.put(RTAX_MTU, mtu) }
        if let limit = route.hopLimit { request.put(RTAX_HOPLIMIT, limit) }
      }
    }
    try socket.transact(request, "\(change.verb) route", "\(route.destination.octets)/\(route.prefix)")
  }
}
