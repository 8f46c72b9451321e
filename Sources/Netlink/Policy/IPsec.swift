// SPDX-License-Identifier: Apache-2.0
import CLibNL
import LinuxSystem
import SystemPackage

public enum IPsec {
  /// How many transform policies the calling thread's namespace has (ip-xfrm(8)); 0 also
  /// where the kernel has no IPsec. Policies of single sockets are not among them.
  public static func policies() throws(Failure) -> Int {
    let socket: NetlinkSocket
    do {
      socket = try NetlinkSocket(protocolNumber: 6 /* NETLINK_XFRM */, name: "transform")
    } catch let failure where failure.errno == Errno(rawValue: 93 /* EPROTONOSUPPORT */) {
      return 0
    }
    // XFRM_MSG_GETPOLICY; a dump wants an empty struct xfrm_userpolicy_id of 64 bytes.
    var request = try Request(0x15)
    for _ in 0..<8 { request.append(header: UInt64(0)) }
    var count = 0
    try socket.dump(request, "list", "transform policies", reset: { count = 0 }) { message throws(Failure) in
      // XFRM_MSG_NEWPOLICY
      if message.type == 0x13 { count += 1 }
    }
    return count
  }
}
