// SPDX-License-Identifier: Apache-2.0
import CLibNL
import Glibc
import LinuxSystem
import SystemPackage

/// Tells that nftables' rules of a namespace changed (NFNLGRP_NFTABLES), those of iptables over nftables among them.
public struct NetfilterMonitor: ~Copyable {
  private let socket: NetlinkSocket

  /// In the calling thread's namespace; nil where the kernel has no netfilter.
  public static func open() throws(Failure) -> Box<NetfilterMonitor>? {
    do throws(Failure) {
      let socket = try NetlinkSocket(protocolNumber: NETLINK_NETFILTER, name: "netfilter monitor")
      try socket.set(NETLINK_ADD_MEMBERSHIP, to: Int32(NFNLGRP_NFTABLES.rawValue))
      return Box(NetfilterMonitor(socket: socket))
    } catch where error.errno == Errno(rawValue: EPROTONOSUPPORT) {
      return nil
    }
  }

  /// Readable when something changed.
  public var descriptor: Int32 { socket.descriptor }

  /// Whether something was said since the last call, or lost of it. What was said is read elsewhere.
  public func drain() -> Bool {
    var (byte, changed): (UInt8, Bool) = (0, false)
    for _ in 0..<1024 {
      if recv(descriptor, &byte, 1, Int32(MSG_DONTWAIT)) < 0, errno != ENOBUFS { break }
      changed = true
    }
    return changed
  }
}
