// SPDX-License-Identifier: Apache-2.0
import CLibNL
import LinuxSystem
import PacketHeaders

/// A socket of NETLINK_ROUTE for questions and changes (rtnetlink(7)).
///
/// It belongs to the namespace of the thread that opened it, whichever thread uses
/// it later. One thread at a time. Every method throws `Failure` with the kernel's
/// errno, and its own words (extended acknowledgement) as advice where it gave any.
public struct RouteConnection: ~Copyable {
  let socket: NetlinkSocket

  public init() throws(Failure) {
    socket = try NetlinkSocket(protocolNumber: NETLINK_ROUTE, name: "rtnetlink")
  }

  /// Opens one in `namespace`, usable from any thread.
  public static func open(in namespace: borrowing NetworkNamespace) throws -> RouteConnection {
    // A noncopyable value cannot be returned through a closure's generic result.
    var connection: RouteConnection?
    try namespace.run { connection = try RouteConnection() }
    return connection.take()!
  }

  /// A dump parsed entry by entry; entries that `parse` answers with nil are left out.
  func collect<Entry>(
    _ request: borrowing Request, _ subject: String, type: Int,
    parse: (UnsafeRawBufferPointer) throws(Failure) -> Entry?
  ) throws(Failure) -> [Entry] {
    var entries: [Entry] = []
    try socket.dump(request, "dump", subject, reset: { entries = [] }) { message throws(Failure) in
      guard message.type == type, let entry = try parse(message.payload) else { return }
      entries.append(entry)
    }
    return entries
  }
}
