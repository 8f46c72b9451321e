// SPDX-License-Identifier: Apache-2.0
import CLinuxSystem
import Glibc
import LinuxSystem
import PacketHeaders

/// ICMP errors that the calling thread's namespace receives (RFC 792): the kernel learns path MTUs and gateways
/// from them, which it announces to nobody.
struct ErrorMonitor: ~Copyable {
  private let socket: OwnedDescriptor

  var descriptor: Int32 { socket.raw }

  init() throws(Failure) { socket = try Self.open() }

  private static func open() throws(Failure) -> OwnedDescriptor {
    let type = Int32(SOCK_RAW.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
    let raw = Glibc.socket(AF_INET, type, Int32(IPPROTO_ICMP))
    guard raw >= 0 else { throw Failure("open", "a raw ICMP socket", errno: .last, advice: "Run as root.") }
    let socket = OwnedDescriptor(adopting: raw)
    // SOL_RAW, ICMP_FILTER (linux/icmp.h): a set bit keeps a type away.
    var others = ~(UInt32(1) << unreachable | 1 << redirect)
    guard setsockopt(raw, 255, 1, &others, socklen_t(MemoryLayout<UInt32>.size)) == 0 else {
      throw Failure("filter", "a raw ICMP socket", errno: .last)
    }
    return socket
  }

  private static let unreachable: UInt8 = 3
  private static let redirect: UInt8 = 5

  /// The destinations of UDP packets to `port` that errors have arrived about, without waiting.
  func receive(port: UInt16) -> Set<IPv4Address> {
    var destinations: Set<IPv4Address> = []
    var packet = [UInt8](repeating: 0, count: 128)
    // A bound, so that a storm of errors does not keep the caller here.
    for _ in 0..<1024 {
      let count = recv(socket.raw, &packet, packet.count, 0)
      guard count > 0 else { break }
      if let destination = Self.destination(in: packet[..<count], port: port) {
        destinations.insert(destination)
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

  private static func afterHeader(_ packet: ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
    guard let first = packet.first, first >> 4 == 4 else { return nil }
    let bytes = Int(first & 15) * 4
    return bytes >= 20 && packet.count > bytes ? packet.dropFirst(bytes) : nil
  }
}
