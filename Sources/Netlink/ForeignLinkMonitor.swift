// SPDX-License-Identifier: Apache-2.0
import CLibNL
import CLinuxSystem
import Glibc
import LinuxSystem
import SystemPackage

/// Follows which links change in *other* namespaces, as far as those have an id in the one of the thread that opened
/// it: that of a veth's peer always has (NETLINK_LISTEN_ALL_NSID, netlink(7)). It holds none of them.
public struct ForeignLinkMonitor: ~Copyable {
  /// A link by its index in a namespace, and that namespace by its id here (`Link.peerNamespaceID`).
  public struct Place: Hashable, Sendable {
    public var namespaceID: Int32
    public var index: Int32

    public init(namespaceID: Int32, index: Int32) {
      self.namespaceID = namespaceID
      self.index = index
    }
  }

  public enum Reception: Equatable, Sendable {
    case changed(Set<Place>)
    /// The kernel dropped announcements (ENOBUFS): any link may have changed.
    case overrun
  }

  private let socket: NetlinkSocket

  /// Of links that other namespaces announce. Throws EPERM without CAP_NET_BROADCAST.
  public static func open() throws(Failure) -> Box<ForeignLinkMonitor> {
    let socket = try NetlinkSocket(protocolNumber: NETLINK_ROUTE, name: "rtnetlink monitor of other namespaces")
    try socket.set(NETLINK_LISTEN_ALL_NSID)
    try socket.join(RTNLGRP_LINK)
    return Box(ForeignLinkMonitor(socket: socket))
  }

  /// Readable (level-triggered) when there is something to receive.
  public var descriptor: Int32 { socket.descriptor }

  /// What has changed since the last time, without waiting.
  public func receive() throws(Failure) -> Reception {
    var places: Set<Place> = []
    var isOverrun = false
    // A bound, so that a storm of changes does not keep the caller here.
    for _ in 0..<1024 {
      var link = culvert_foreign_link()
      switch culvert_receive_foreign_link(descriptor, &link) {
      case 1: places.insert(Place(namespaceID: link.namespace_id, index: link.index))
      case 0: break
      case -EAGAIN: return isOverrun ? .overrun : .changed(places)
      case -ENOBUFS: isOverrun = true
      case let status:
        throw Failure(
          "receive from", "the rtnetlink monitor of other namespaces", errno: Errno(rawValue: -status))
      }
    }
    return isOverrun ? .overrun : .changed(places)
  }
}
