// SPDX-License-Identifier: Apache-2.0
import CBPFObjects
import PacketHeaders

/// The outer UDP checksum (`udpcsum`), with and without one inside to derive it from.
extension Case {
  private static func checksum(
    _ name: String, _ frame: [UInt8], summed: Bool = false, passed: Bool = false
  ) -> Case {
    var outer = Outer.sent
    outer.checksum = true
    var one = Case(
      name: "port: outer checksum, \(name)", program: .port, frame: frame,
      verdict: passed ? CULVERT_PASS_CHECKSUM : CULVERT_FORWARDED_ENCAP, slot: 1,
      out: passed ? .unchanged : .encapsulated(outer),
      prepare: { fixture in
        try fixture.setTunnel(0) {
          $0.flags = CULVERT_TUNNEL_UDP_CSUM.rawValue
          $0.mtu = 9000
        }
        try fixture.setPort(
          0, ifindex: 9, mtu: 9000, flags: CULVERT_PORT_MULTI_BUFFER.rawValue, mac: Outer.uplink)
      })
    one.needsSum = summed
    return one
  }

  private static let odd = [UInt8](repeating: 0xa5, count: 333)
  /// The last octet of the payload is another than the checksum says.
  private static let wrong = Array(Frames.v4(Frames.tcp(odd)).dropLast()) + [0x5a]
  private static let many = [UInt8](repeating: 0xa5, count: 5000)

  static let portChecksums: [Case] = [
    checksum("UDP", Frames.v4()),
    checksum("UDP of odd length", Frames.v4(Frames.udp(odd))),
    checksum("TCP", Frames.v4(Frames.tcp(odd))),
    checksum("ICMP", Frames.v4(Frames.icmp(odd))),
    checksum("UDP over IPv6", Frames.v6(Frames.udp(odd))),
    checksum("TCP over IPv6", Frames.v6(Frames.tcp(odd))),
    checksum("ICMPv6", Frames.v6(Frames.icmp(odd, v6: true))),
    // No checksum over all of the inside: the frame is summed.
    checksum("UDP without", Frames.v4(Frames.udp(odd, checksum: false)), summed: true),
    checksum("UDP shorter than its packet", Frames.v4(Frames.udp(odd, length: 16))),
    checksum("fragment", Frames.v4(Frames.udp(odd), fragment: 0x2000), summed: true),
    checksum("later fragment", Frames.v4(Frames.raw(IPProtocol.udp, odd), fragment: 185), summed: true),
    checksum("options", Frames.v4(Frames.udp(odd), options: [1, 1, 1, 0]), summed: true),
    checksum("a wrong one inside", wrong, summed: true),
    checksum("SCTP", Frames.v4(Frames.raw(IPProtocol.sctp, odd)), summed: true),
    checksum("ICMPv6 over IPv4", Frames.v4(Frames.raw(IPProtocol.icmpv6, odd)), summed: true),
    checksum("UDP cut short", Frames.v4(Frames.raw(IPProtocol.udp, [1, 2, 3])), summed: true),
    checksum(
      "extension header",
      Frames.v6(
        Frames.udp(odd), extensions: [IPProtocol.udp, 0, 1, 4, 0, 0, 0, 0], next: 0), summed: true),
    checksum(
      "the longest that is summed",
      Frames.v4(Frames.raw(IPProtocol.sctp, [UInt8](repeating: 7, count: 3000))),
      summed: true),
    // Neither derived nor summed.
    checksum("several buffers", Frames.v4(Frames.udp(many)), passed: true),
    checksum("padding", Frames.v4() + [0, 0], summed: true),
    checksum("cut short", Array(Frames.v4().dropLast()), summed: true),
    checksum("SCTP in several buffers", Frames.v4(Frames.raw(IPProtocol.sctp, many)), passed: true),
  ]
}
