// SPDX-License-Identifier: Apache-2.0
import CLibNL
import LinuxSystem
import SystemPackage

/// Follows what the kernel announces about links, FDBs, neighbours and routing.
///
/// It belongs to the namespace of the thread that opened it. To lose nothing: open
/// the monitor, then dump with a `RouteConnection`, then apply events in order; an
/// event that the dump already showed says the same again.
public struct RouteMonitor: ~Copyable {
  public typealias Reception = NetlinkReception

  private let socket: NetlinkSocket
  private let receiver = DatagramReceiver()

  /// `receiveBufferBytes`: of kernel memory for announcements not yet read.
  public init(receiveBufferBytes: Int32 = 32 << 20) throws(Failure) {
    socket = try Self.subscribe(receiveBufferBytes)
  }

  private static func subscribe(_ receiveBufferBytes: Int32) throws(Failure) -> NetlinkSocket {
    let socket = try NetlinkSocket(protocolNumber: NETLINK_ROUTE, name: "rtnetlink monitor")
    try socket.setReceiveBuffer(bytes: receiveBufferBytes)
    for group in [
      RTNLGRP_LINK, RTNLGRP_NEIGH, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV4_RULE, RTNLGRP_IPV4_IFADDR,
      RTNLGRP_NEXTHOP, RTNLGRP_IPV4_NETCONF,
    ] {
      try socket.join(group)
    }
    return socket
  }

  /// From now on, what routes of IPv6 depend on is announced too. Without, others' addresses are no news.
  public func followIPv6Routing() throws(Failure) {
    for group in [RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV6_RULE, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV6_NETCONF] {
      try socket.join(group)
    }
  }

  /// Opens one in `namespace`, usable from any thread.
  public static func open(in namespace: borrowing NetworkNamespace) throws -> RouteMonitor {
    var monitor: RouteMonitor?
    try namespace.run { monitor = try RouteMonitor() }
    return monitor.take()!
  }

  /// Readable (level-triggered) when there is something to receive.
  public var descriptor: Int32 { socket.descriptor }

  /// Appends what has been announced to `events`, without waiting and in order.
  /// A message that cannot be parsed is a failure; later ones can still be received.
  public mutating func receive(into events: inout [NetlinkEvent]) throws(Failure) -> Reception {
    try receiver.receive(from: descriptor, named: "the rtnetlink monitor") { bytes throws(Failure) in
      try NetlinkEvent.parse(bytes, into: &events)
    }
  }
}
