// SPDX-License-Identifier: Apache-2.0
import CLibNL
import Glibc
import LinuxSystem
import PacketHeaders

extension NetlinkEvent {
  /// The events of one datagram; messages of other kinds are skipped.
  static func parse(_ bytes: UnsafeRawBufferPointer, into events: inout [NetlinkEvent]) throws(Failure) {
    var messages = Messages(bytes)
    while let message = try messages.next() {
      if let event = try NetlinkEvent(parsing: message) { events.append(event) }
    }
  }

  init?(parsing message: Message) throws(Failure) {
    switch message.type {
    case RTM_NEWLINK, RTM_DELLINK:
      self = try Self.link(message)
    case RTM_NEWNEIGH, RTM_DELNEIGH:
      guard let event = try Self.neighbour(message) else { return nil }
      self = event
    case RTM_NEWROUTE, RTM_DELROUTE:
      self = .routing(try Self.route(message))
    case RTM_NEWRULE, RTM_DELRULE, RTM_NEWADDR, RTM_DELADDR, RTM_NEWNEXTHOP, RTM_DELNEXTHOP,
      RTM_NEWNETCONF:
      self = .routing(.everything)
    default:
      return nil
    }
  }

  private static func route(_ message: Message) throws(Failure) -> RoutingChange {
    let header = try message.payload.read(rtmsg.self, at: 0)
    let isIPv6 = header.rtm_family == UInt8(AF_INET6)
    guard isIPv6 || header.rtm_family == UInt8(AF_INET) else { return .everything }
    var destination: IPAddress = isIPv6 ? .v6(.any) : .v4(.any)
    guard header.rtm_dst_len <= destination.bits else { return .everything }
    try message.payload.attributes(after: MemoryLayout<rtmsg>.size).forEach { attribute throws(Failure) in
      if attribute.type == Int(RTA_DST.rawValue) { destination = try attribute.address() }
    }
    return .route(to: destination, prefix: header.rtm_dst_len)
  }

  private static func link(_ message: Message) throws(Failure) -> NetlinkEvent {
    let isGone = message.type == RTM_DELLINK
    let header = try message.payload.read(ifinfomsg.self, at: 0)
    if header.ifi_family == UInt8(AF_BRIDGE) { return try bridgePort(message, isGone: isGone) }
    let link = try Link(parsing: message.payload)
    return isGone ? .linkGone(link.index, name: link.name) : .link(link)
  }

  private static func bridgePort(_ message: Message, isGone: Bool) throws(Failure) -> NetlinkEvent {
    let header = try message.payload.read(ifinfomsg.self, at: 0)
    if isGone { return .bridgePort(link: header.ifi_index, master: nil, nil) }
    var master: Int32?
    var port: BridgePortAttributes?
    try message.payload.attributes(after: MemoryLayout<ifinfomsg>.size).forEach { attribute throws(Failure) in
      switch attribute.type {
      case IFLA_MASTER: master = try attribute.integer()
      case IFLA_PROTINFO: port = try BridgePortAttributes(attribute.nested)
      default: break
      }
    }
    return .bridgePort(link: header.ifi_index, master: master, port)
  }

  private static func neighbour(_ message: Message) throws(Failure) -> NetlinkEvent? {
    let isGone = message.type == RTM_DELNEIGH
    switch Int32(try message.payload.read(ndmsg.self, at: 0).ndm_family) {
    case AF_BRIDGE:
      guard try tellsUse(message.payload) else { return nil }
      let entry = try FDBEntry(parsing: message.payload)
      return isGone ? .fdbGone(entry) : .fdb(entry)
    case AF_INET, AF_INET6:
      guard let neighbour = try Neighbour(parsing: message.payload) else { return nil }
      return isGone ? .neighbourGone(neighbour) : .neighbour(neighbour)
    default:
      return nil
    }
  }

  /// Whether a forwarding database itself announces: a bridge and a VXLAN device tell when an entry was used.
  /// Linux 6.12 and older announce a change by request a second time, on any device's behalf, with the MAC and
  /// nothing else: taken for the entry, that would lose its destination.
  private static func tellsUse(_ payload: UnsafeRawBufferPointer) throws(Failure) -> Bool {
    var attributes = try payload.attributes(after: MemoryLayout<ndmsg>.size)
    while let attribute = try attributes.next() {
      if attribute.type == NDA_CACHEINFO { return true }
    }
    return false
  }
}
