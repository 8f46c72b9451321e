// SPDX-License-Identifier: Apache-2.0
import CLibNL
import Glibc
import LinuxSystem
import PacketHeaders
import SystemPackage

/// A transform policy (ip-xfrm(8)): which packets must be protected, or must not pass.
public struct IPsecPolicy: Hashable, Sendable {
  /// `forwarded` concerns what the host routes on, never VXLAN of its own.
  public enum Direction: Sendable { case incoming, outgoing, forwarded }
  public var direction: Direction
  /// What the selector leaves open is nil, or a prefix of no bits.
  public var source: (address: IPAddress, prefix: UInt8) { (sourceAddress, sourcePrefix) }
  public var destination: (address: IPAddress, prefix: UInt8) { (destinationAddress, destinationPrefix) }
  /// nil: of both.
  public var isIPv6: Bool?
  var sourceAddress = IPAddress.v4(.any)
  var sourcePrefix: UInt8 = 0
  var destinationAddress = IPAddress.v4(.any)
  var destinationPrefix: UInt8 = 0
  /// 0: any.
  public var protocolNumber: UInt8 = 0
  public var destinationPort: UInt16 = 0
  public var destinationPortMask: UInt16 = 0

  public init(_ direction: Direction) { self.direction = direction }

  /// Whether it could be about VXLAN between these. Marks, source ports and users are not looked at: who sets a
  /// mark decides packet by packet.
  public func concerns(local: IPAddress?, remote: IPAddress?, port: UInt16) -> Bool {
    if direction == .forwarded { return false }
    let (mine, other) = direction == .outgoing ? (source, destination) : (destination, source)
    func matches(_ address: IPAddress?, _ selector: (address: IPAddress, prefix: UInt8)) -> Bool {
      guard let address else { return true }
      if let isIPv6, isIPv6 != address.isIPv6 { return false }
      return selector.prefix == 0 || address.network(selector.prefix) == selector.address.network(selector.prefix)
    }
    return [0, UInt8(IPPROTO_UDP)].contains(protocolNumber)
      && (port ^ destinationPort) & destinationPortMask == 0
      && matches(local, mine) && matches(remote, other)
  }
}

public enum IPsec {
  /// The transform policies of the calling thread's namespace; none also where the kernel has no IPsec.
  /// Policies of single sockets are not among them.
  public static func policies() throws(Failure) -> [IPsecPolicy] {
    guard let socket = try open() else { return [] }
    // XFRM_MSG_GETPOLICY; a dump wants an empty struct xfrm_userpolicy_id of 64 bytes.
    var request = try Request(0x15)
    for _ in 0..<8 { request.append(header: UInt64(0)) }
    var policies: [IPsecPolicy] = []
    try socket.dump(request, "list", "transform policies", reset: { policies = [] }) {
      message throws(Failure) in
      // XFRM_MSG_NEWPOLICY
      if message.type == 0x13, let policy = try IPsecPolicy(parsing: message.payload) {
        policies.append(policy)
      }
    }
    return try policies + blockedByDefault(socket)
  }

  /// The directions in which what no policy is about is dropped (`ip xfrm policy setdefault`), as policies about everything.
  private static func blockedByDefault(_ socket: borrowing NetlinkSocket) throws(Failure) -> [IPsecPolicy] {
    // XFRM_MSG_GETDEFAULT; struct xfrm_userpolicy_default holds an octet each for in, fwd and out.
    var request = try Request(0x28)
    request.append(header: UInt32(0))
    var blocked: [IPsecPolicy] = []
    do {
      try socket.transact(request, "read", "the default transform policy") { message throws(Failure) in
        guard message.type == 0x28 else { return }
        for (place, direction) in [IPsecPolicy.Direction.incoming, .forwarded, .outgoing].enumerated()
        // XFRM_USERPOLICY_BLOCK
        where try message.payload.read(UInt8.self, at: place) == 1 { blocked.append(IPsecPolicy(direction)) }
      }
    } catch let failure where failure.errno == .invalidArgument {
      // Linux 5.15 brought it.
    }
    return blocked
  }

  fileprivate static func open() throws(Failure) -> NetlinkSocket? {
    do {
      return try NetlinkSocket(protocolNumber: 6 /* NETLINK_XFRM */, name: "transform")
    } catch let failure where failure.errno == Errno(rawValue: 93 /* EPROTONOSUPPORT */) {
      return nil
    }
  }
}

extension IPsecPolicy {
  /// struct xfrm_userpolicy_info and XFRMA_*; nil for what concerns no packet of a host, and for what lets
  /// packets pass as they are.
  init?(parsing payload: UnsafeRawBufferPointer) throws(Failure) {
    // struct xfrm_selector: 56 bytes; two of lifetimes: 64 and 32; priority, index: 4 each.
    let family = try payload.read(UInt16.self, at: 40)
    guard [0, UInt16(AF_INET), UInt16(AF_INET6)].contains(family) else { return nil }
    switch try payload.read(UInt8.self, at: 160) {
    case 0: self.init(.incoming)
    case 1: self.init(.outgoing)
    case 2: self.init(.forwarded)
    default: return nil
    }
    isIPv6 = family == 0 ? nil : family == UInt16(AF_INET6)
    destinationAddress = try Self.address(payload, at: 0, isIPv6)
    sourceAddress = try Self.address(payload, at: 16, isIPv6)
    destinationPort = UInt16(bigEndian: try payload.read(at: 32))
    destinationPortMask = UInt16(bigEndian: try payload.read(at: 34))
    destinationPrefix = try payload.read(at: 42)
    sourcePrefix = try payload.read(at: 43)
    protocolNumber = try payload.read(at: 44)
    let blocks = try payload.read(UInt8.self, at: 161) == 1
    var hasTemplate = false
    try payload.attributes(after: 168).forEach { attribute in
      // XFRMA_TMPL
      if attribute.type == 5, !attribute.payload.isEmpty { hasTemplate = true }
    }
    if !blocks && !hasTemplate { return nil }
  }

  /// xfrm_address_t
  private static func address(_ payload: UnsafeRawBufferPointer, at offset: Int, _ isIPv6: Bool?) throws(Failure)
    -> IPAddress
  {
    guard isIPv6 == true else {
      return .v4(IPv4Address(value: UInt32(bigEndian: try payload.read(at: offset))))
    }
    return .v6(
      IPv6Address(
        high: UInt64(bigEndian: try payload.read(at: offset)), low: UInt64(bigEndian: try payload.read(at: offset + 8))))
  }
}

/// Tells that transform policies of the calling thread's namespace changed.
public struct IPsecMonitor: ~Copyable {
  private let socket: NetlinkSocket

  /// Nil where the kernel has no IPsec.
  public static func open() throws(Failure) -> Box<IPsecMonitor>? {
    guard let socket = try IPsec.open() else { return nil }
    // XFRMNLGRP_POLICY
    try socket.set(NETLINK_ADD_MEMBERSHIP, to: 4)
    return Box(IPsecMonitor(socket: socket))
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
