// SPDX-License-Identifier: Apache-2.0
import CLibNL
import Glibc
import LinuxSystem

/// Says that some link of the namespace it was opened in has changed (RTNLGRP_LINK, rtnetlink(7)).
public struct LinkAnnouncements: ~Copyable {
  private let socket: NetlinkSocket

  public static func open() throws(Failure) -> Box<LinkAnnouncements> {
    let socket = try NetlinkSocket(protocolNumber: NETLINK_ROUTE, name: "rtnetlink monitor of links")
    try socket.join(RTNLGRP_LINK)
    return Box(LinkAnnouncements(socket: socket))
  }

  /// Readable when something changed.
  public var descriptor: Int32 { socket.descriptor }

  /// What is said is read elsewhere; that something was said is what counts, also when some of it was lost.
  public func drain() {
    var byte: UInt8 = 0
    for _ in 0..<1024 {
      if recv(descriptor, &byte, 1, Int32(MSG_DONTWAIT)) < 0, errno != ENOBUFS { return }
    }
  }
}
