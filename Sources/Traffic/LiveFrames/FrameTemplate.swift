// SPDX-License-Identifier: Apache-2.0
import PacketHeaders

/// One side of a UDP flow, as its frames name it.
public struct FlowEnd: Sendable {
  public var mac: MACAddress
  public var ipv4: IPv4Address
  public var port: UInt16
  public init(mac: MACAddress, ipv4: IPv4Address, port: UInt16) {
    self.mac = mac
    self.ipv4 = ipv4
    self.port = port
  }
}

/// Bytes of an Ethernet frame, without its checksum sequence.
public struct FrameTemplate: Sendable, Equatable {
  public var octets: [UInt8]

  public init(octets: [UInt8]) { self.octets = octets }

  /// Ethernet, IPv4 and UDP headers of a flow.
  public static let headerBytes = 14 + 20 + 8

  /// A UDP datagram over IPv4 (RFC 768, RFC 791) of `size` bytes from the Ethernet header on, don't-fragment
  /// set, checksums complete; `withChecksum` false sends UDP checksum zero, as VXLAN does (RFC 7348 section
  /// 5).
  public static func udp(
    from source: FlowEnd, to destination: FlowEnd, size: Int, withChecksum: Bool = true
  ) -> FrameTemplate {
    let payload = [UInt8](repeating: 0, count: max(0, size - headerBytes))
    return udp(from: source, to: destination, payload: payload, withChecksum: withChecksum)
  }

  /// The same a router further on: other Ethernet addresses, a hop less to live (RFC 1812 section 5.3.1).
  public func routed(from source: MACAddress, to destination: MACAddress) -> FrameTemplate {
    var routed = destination.octets + source.octets + octets[12...]
    routed[14 + 8] -= 1
    routed.replaceSubrange(24..<26, with: [0, 0])
    routed.replaceSubrange(24..<26, with: Self.big(Self.checksum(Array(routed[14..<34]))))
    return FrameTemplate(octets: routed)
  }

  /// The VXLAN packet that carries `inner`: what a kernel device without port hashing would have sent.
  public static func vxlan(
    _ inner: FrameTemplate, vni: UInt32, from source: FlowEnd, to destination: FlowEnd, withChecksum: Bool
  ) -> FrameTemplate {
    let header: [UInt8] = [8, 0, 0, 0, UInt8(vni >> 16 & 0xff), UInt8(vni >> 8 & 0xff), UInt8(vni & 0xff), 0]
    return udp(
      from: source, to: destination, payload: header + inner.octets, withChecksum: withChecksum)
  }

  private static func udp(
    from source: FlowEnd, to destination: FlowEnd, payload: [UInt8], withChecksum: Bool
  ) -> FrameTemplate {
    let udpBytes = 8 + payload.count
    var ip: [UInt8] =
      [0x45, 0] + big(UInt16(20 + udpBytes)) + [0, 0, 0x40, 0, 64, 17, 0, 0]
      + source.ipv4.octets + destination.ipv4.octets
    ip.replaceSubrange(10..<12, with: big(checksum(ip)))
    var udp = big(source.port) + big(destination.port) + big(UInt16(udpBytes)) + [0, 0] + payload
    if withChecksum {
      let pseudo = source.ipv4.octets + destination.ipv4.octets + [0, 17] + big(UInt16(udpBytes))
      let sum = checksum(pseudo + udp)
      udp.replaceSubrange(6..<8, with: big(sum == 0 ? 0xffff : sum))
    }
    return FrameTemplate(
      octets: destination.mac.octets + source.mac.octets + [0x08, 0x00] + ip + udp)
  }

  private static func big(_ value: UInt16) -> [UInt8] { [UInt8(value >> 8), UInt8(value & 0xff)] }

  /// The Internet checksum (RFC 1071).
  static func checksum(_ octets: [UInt8]) -> UInt16 {
    var sum: UInt64 = 0
    for index in stride(from: 0, to: octets.count, by: 2) {
      sum += UInt64(octets[index]) << 8 | (index + 1 < octets.count ? UInt64(octets[index + 1]) : 0)
    }
    while sum >> 16 != 0 { sum = sum & 0xffff + sum >> 16 }
    return UInt16(truncatingIfNeeded: ~sum)
  }
}
