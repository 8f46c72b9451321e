// SPDX-License-Identifier: Apache-2.0
import CLibNL
import LinuxSystem
import SystemPackage

/// Follows what connection tracking announces in one namespace (NETLINK_NETFILTER, NFNLGRP_CONNTRACK_*).
///
/// The kernel announces only what began while somebody listened (net.netfilter.nf_conntrack_events 2, the default
/// since Linux 5.19): of connections from before, a dump tells. To lose nothing: open the monitor, then dump.
public struct ConntrackMonitor: ~Copyable {
  public struct Groups: OptionSet, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    public static let new = Groups(rawValue: 1)
    public static let update = Groups(rawValue: 2)
    public static let destroy = Groups(rawValue: 4)
    public static let all: Groups = [.new, .update, .destroy]
  }

  let socket: NetlinkSocket
  private let receiver = DatagramReceiver()

  /// The kernel builds messages only of groups that somebody joined: join what is needed alone.
  /// - Parameter receiveBufferBytes: of kernel memory for announcements not yet read.
  public init(_ groups: Groups, receiveBufferBytes: Int32 = 8 << 20) throws(Failure) {
    socket = try Self.subscribe(groups, receiveBufferBytes)
  }

  private static func subscribe(_ groups: Groups, _ bytes: Int32) throws(Failure) -> NetlinkSocket {
    let socket = try NetlinkSocket(protocolNumber: NETLINK_NETFILTER, name: "conntrack monitor")
    try socket.setReceiveBuffer(bytes: bytes)
    for (group, number) in [
      (Groups.new, NFNLGRP_CONNTRACK_NEW), (.update, NFNLGRP_CONNTRACK_UPDATE),
      (.destroy, NFNLGRP_CONNTRACK_DESTROY),
    ] where groups.contains(group) {
      try socket.set(NETLINK_ADD_MEMBERSHIP, to: Int32(number.rawValue))
    }
    return socket
  }

  /// Opens one in `namespace`, usable from any thread.
  public static func open(
    _ groups: Groups, receiveBufferBytes: Int32 = 8 << 20, in namespace: borrowing NetworkNamespace
  ) throws -> ConntrackMonitor {
    var monitor: ConntrackMonitor?
    try namespace.run { monitor = try ConntrackMonitor(groups, receiveBufferBytes: receiveBufferBytes) }
    return monitor.take()!
  }

  /// Readable (level-triggered) when there is something to receive.
  public var descriptor: Int32 { socket.descriptor }

  /// Appends what has been announced to `events`, without waiting and in order, at most `rounds` × 64 of them.
  public mutating func receive(
    into events: inout [ConntrackEvent], rounds: Int = 16
  ) throws(Failure) -> NetlinkReception {
    try receiver.receive(from: descriptor, named: "the conntrack monitor", rounds: rounds) {
      bytes throws(Failure) in
      try ConntrackEvent.parse(bytes, into: &events)
    }
  }
}
