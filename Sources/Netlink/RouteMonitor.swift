// SPDX-License-Identifier: Apache-2.0
import CLibNL
import CLinuxSystem
import Glibc
import LinuxSystem
import SystemPackage

/// Follows what the kernel announces about links, FDBs, neighbours and routing.
///
/// It belongs to the namespace of the thread that opened it. To lose nothing: open
/// the monitor, then dump with a `RouteConnection`, then apply events in order; an
/// event that the dump already showed says the same again.
public struct RouteMonitor: ~Copyable {
  public enum Reception: Sendable {
    /// Everything that was there has been read.
    case drained
    /// There is more; call again.
    case more
    /// The kernel dropped announcements (ENOBUFS): dump again.
    case overrun
  }

  private let socket: NetlinkSocket
  private let buffer: UnsafeMutableRawBufferPointer

  /// Longest message that the kernel announces: it limits its own to this.
  private static let slotBytes = 32_768
  private static let slots = Int(CULVERT_RECEIVE_SLOTS)

  /// `receiveBufferBytes`: of kernel memory for announcements not yet read.
  public init(receiveBufferBytes: Int32 = 32 << 20) throws(Failure) {
    socket = try Self.subscribe(receiveBufferBytes)
    buffer = .allocate(byteCount: Self.slotBytes * Self.slots, alignment: 16)
  }

  deinit { buffer.deallocate() }

  private static func subscribe(_ receiveBufferBytes: Int32) throws(Failure) -> NetlinkSocket {
    let socket = try NetlinkSocket(protocolNumber: NETLINK_ROUTE, name: "rtnetlink monitor")
    do throws(Failure) {
      try socket.set(SO_RCVBUFFORCE, level: SOL_SOCKET, to: receiveBufferBytes)
    } catch {
      // Without CAP_NET_ADMIN in the first user namespace: what the system's limit allows.
      try socket.set(SO_RCVBUF, level: SOL_SOCKET, to: receiveBufferBytes)
    }
    for group in [
      RTNLGRP_LINK, RTNLGRP_NEIGH, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV4_RULE, RTNLGRP_IPV4_IFADDR,
      RTNLGRP_NEXTHOP, RTNLGRP_IPV4_NETCONF,
    ] {
      try socket.join(group)
    }
    return socket
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
    var overrun = false
    // A bound, so that a storm of changes does not keep the caller here.
    for _ in 0..<64 {
      var lengths = [Int](repeating: 0, count: Self.slots)
      let received = lengths.withUnsafeMutableBufferPointer {
        Int(culvert_receive_from_kernel(descriptor, buffer.baseAddress, Self.slotBytes, $0.baseAddress))
      }
      guard received >= 0 else {
        switch Errno(rawValue: Int32(-received)) {
        case .resourceTemporarilyUnavailable: return overrun ? .overrun : .drained
        case .noBufferSpace: overrun = true
        case let errno: throw Failure("receive from", "the rtnetlink monitor", errno: errno)
        }
        continue
      }
      var failure: Failure?
      for slot in 0..<received {
        // A message that did not fit is as lost as one that was dropped.
        guard lengths[slot] >= 0 else {
          overrun = true
          continue
        }
        let start = slot * Self.slotBytes
        let bytes = UnsafeRawBufferPointer(rebasing: buffer[start..<start + lengths[slot]])
        do throws(Failure) {
          try NetlinkEvent.parse(bytes, into: &events)
        } catch {
          failure = failure ?? error
        }
      }
      if let failure { throw failure }
    }
    return overrun ? .overrun : .more
  }
}
