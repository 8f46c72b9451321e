// SPDX-License-Identifier: Apache-2.0
import CLibNL
import LinuxSystem
import PacketHeaders

extension RouteConnection {
  /// All interfaces of the namespace, in the kernel's order.
  public func links() throws(Failure) -> [Link] {
    var request = try Request(RTM_GETLINK)
    request.append(header: ifinfomsg())
    // Statistics are half of each message and nobody here reads them.
    request.put(IFLA_EXT_MASK, UInt32(RTEXT_FILTER_SKIP_STATS))
    return try collect(request, "links", type: RTM_NEWLINK) { payload throws(Failure) in
      try Link(parsing: payload)
    }
  }

  /// Fails with ENODEV where there is none.
  public func link(named name: String) throws(Failure) -> Link {
    try link(index: 0, name: name)
  }

  /// Fails with ENODEV where there is none.
  public func link(index: Int32) throws(Failure) -> Link {
    try link(index: index, name: nil)
  }

  /// A link of the namespace that this one knows by the number `namespaceID`, without entering it. Fails with
  /// ENODEV where there is none, EINVAL where there is no such namespace any more.
  public func link(index: Int32, namespaceID: Int32) throws(Failure) -> Link {
    try link(index: index, name: nil, namespaceID: namespaceID)
  }

  private func link(index: Int32, name: String?, namespaceID: Int32? = nil) throws(Failure) -> Link {
    var request = try Request(RTM_GETLINK)
    var header = ifinfomsg()
    header.ifi_index = index
    request.append(header: header)
    if let name { request.put(IFLA_IFNAME, string: name) }
    if let namespaceID { request.put(IFLA_TARGET_NETNSID, namespaceID) }
    request.put(IFLA_EXT_MASK, UInt32(RTEXT_FILTER_SKIP_STATS))
    var found: Link?
    let subject = "interface \(name ?? String(index))"
    try socket.transact(request, "find", subject) { message throws(Failure) in
      if message.type == RTM_NEWLINK { found = try Link(parsing: message.payload) }
    }
    guard let found else { throw Failure("find", subject, errno: .operationNotSupportedByDevice) }
    return found
  }

  /// RTM_GETNSID: the number by which the connection's namespace knows the one that
  /// `descriptor` holds, or nil where it has given none.
  public func namespaceID(of descriptor: Int32) throws(Failure) -> Int32? {
    var request = try Request(RTM_GETNSID)
    request.append(header: rtgenmsg())
    request.put(NETNSA_FD, descriptor)
    var id: Int32 = -1
    try socket.transact(request, "identify", "a network namespace") { message throws(Failure) in
      guard message.type == RTM_NEWNSID else { return }
      // struct rtgenmsg is one byte, padded to four.
      try message.payload.attributes(after: 4).forEach { attribute throws(Failure) in
        if attribute.type == NETNSA_NSID { id = try attribute.integer() }
      }
    }
    return id >= 0 ? id : nil
  }
}
