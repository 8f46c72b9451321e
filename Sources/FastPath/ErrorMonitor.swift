// SPDX-License-Identifier: Apache-2.0
import CLinuxSystem
import Glibc
import LinuxSystem
import PacketHeaders

/// ICMP errors that the calling thread's namespace receives (RFC 792, for IPv6 RFC 4443 and 4861): the kernel learns path
/// MTUs and gateways from them, which it announces to nobody.
struct ErrorMonitor: ~Copyable {
  private let socket: OwnedDescriptor
  private let isIPv6: Bool

  var descriptor: Int32 { socket.raw }

  init(ofIPv6 isIPv6: Bool) throws(Failure) {
    socket = try Self.open(isIPv6)
    self.isIPv6 = isIPv6
  }

  private static func open(_ isIPv6: Bool) throws(Failure) -> OwnedDescriptor {
    let type = Int32(SOCK_RAW.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
    let raw = Glibc.socket(
      isIPv6 ? AF_INET6 : AF_INET, type, Int32(isIPv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP))
    guard raw >= 0 else { throw Failure("open", "a raw ICMP socket", errno: .last, advice: "Run as root.") }
    let socket = OwnedDescriptor(adopting: raw)
    // A set bit keeps a type away.
    if isIPv6 {
      // IPPROTO_ICMPV6, ICMPV6_FILTER (linux/icmpv6.h)
      var others = [UInt32](repeating: .max, count: 8)
      for type in [unreachable6, tooBig6, redirect6] { others[Int(type / 32)] &= ~(1 << UInt32(type % 32)) }
      guard setsockopt(raw, Int32(IPPROTO_ICMPV6), 1, &others, 32) == 0 else {
        throw Failure("filter", "a raw ICMPv6 socket", errno: .last)
      }
      return socket
    }
    // SOL_RAW, ICMP_FILTER (linux/icmp.h)
    var others = ~(UInt32(1) << unreachable | 1 << redirect)
    guard setsockopt(raw, 255, 1, &others, socklen_t(MemoryLayout<UInt32>.size)) == 0 else {
      throw Failure("filter", "a raw ICMP socket", errno: .last)
    }
    return socket
  }

  private static let unreachable: UInt8 = 3
  private static let redirect: UInt8 = 5
  private static let unreachable6: UInt8 = 1
  private static let tooBig6: UInt8 = 2
  private static let redirect6: UInt8 = 137

  /// The destinations of UDP packets to `port` that errors have arrived about, without waiting.
  func receive(port: UInt16) -> Set<IPAddress> {
    var destinations: Set<IPAddress> = []
    var packet = [UInt8](repeating: 0, count: 128)
    // A bound, so that a storm of errors does not keep the caller here.
    for _ in 0..<1024 {
      let count = recv(socket.raw, &packet, packet.count, 0)
      guard count > 0 else { break }
      if isIPv6 {
        if let destination = Self.destination6(in: packet[..<count], port: port) { destinations.insert(.v6(destination)) }
      } else if let destination = Self.destination(in: packet[..<count], port: port) {
        destinations.insert(.v4(destination))
      }
    }
    return destinations
  }

  /// Of the packet that an ICMP error quotes: at least its IP header and the eight octets behind it.
  static func destination(in packet: ArraySlice<UInt8>, port: UInt16) -> IPv4Address? {
    guard let icmp = afterHeader(packet), icmp.count >= 8,
      [unreachable, redirect].contains(icmp[icmp.startIndex])
    else { return nil }
    let quoted = icmp.dropFirst(8)
    guard let udp = afterHeader(quoted), udp.count >= 4, quoted[quoted.startIndex + 9] == UInt8(IPPROTO_UDP),
      UInt16(udp[udp.startIndex + 2]) << 8 | UInt16(udp[udp.startIndex + 3]) == port
    else { return nil }
    return IPv4Address(quoted.dropFirst(16).prefix(4))
  }

  /// The same of ICMPv6, which such a socket gives without the IPv6 header; a redirect names the destination itself.
  static func destination6(in icmp: ArraySlice<UInt8>, port: UInt16) -> IPv6Address? {
    guard let type = icmp.first else { return nil }
    if type == redirect6 { return IPv6Address(icmp.dropFirst(24).prefix(16)) }
    let quoted = icmp.dropFirst(8)
    guard [unreachable6, tooBig6].contains(type), quoted.count >= 44,
      quoted[quoted.startIndex] >> 4 == 6, quoted[quoted.startIndex + 6] == UInt8(IPPROTO_UDP),
      UInt16(quoted[quoted.startIndex + 42]) << 8 | UInt16(quoted[quoted.startIndex + 43]) == port
    else { return nil }
    return IPv6Address(quoted.dropFirst(24).prefix(16))
  }

  private static func afterHeader(_ packet: ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
    guard let first = packet.first, first >> 4 == 4 else { return nil }
    let bytes = Int(first & 15) * 4
    return bytes >= 20 && packet.count > bytes ? packet.dropFirst(bytes) : nil
  }
}
