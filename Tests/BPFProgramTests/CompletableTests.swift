// SPDX-License-Identifier: Apache-2.0
import CBPFObjects
import PacketHeaders
import TestSupport
import Testing

/// Tier `afxdp` and containers that leave checksums to their devices: only what the forwarder can tell to be
/// unfinished, or to be finished, is handed over.
@Suite(.enabled(if: mayUseKernel, .init(rawValue: needsRoot)))
struct CompletableTests {
  /// With the field as a sender leaves it to its device.
  private static func partial(_ frame: [UInt8], field: Int, protocolNumber: UInt8) -> [UInt8] {
    var frame = frame
    let isIPv4 = frame[12] == 8
    let l4 = isIPv4 ? 34 : 54
    var sum = InternetChecksum()
    sum.add((isIPv4 ? frame[26..<34] : frame[22..<54]).span.bytes)
    let count = UInt16(frame.count - l4)
    sum.add([0, protocolNumber, UInt8(count >> 8), UInt8(count & 0xff)].span.bytes)
    let value = ~sum.complement
    frame[l4 + field] = UInt8(value >> 8)
    frame[l4 + field + 1] = UInt8(value & 0xff)
    return frame
  }

  private struct Sent {
    var name: String
    var frame: [UInt8]
    var isHandedOver: Bool
  }

  private static func frames(to: MACAddress) -> [Sent] {
    let nested = [UInt8](repeating: 0x11, count: 60)
    let gre: UInt8 = 47
    return [
      Sent(
        name: "UDP to complete", frame: partial(Frames.v4(to: to), field: 6, protocolNumber: 17),
        isHandedOver: true),
      Sent(
        name: "UDP to complete, IPv6", frame: partial(Frames.v6(to: to), field: 6, protocolNumber: 17),
        isHandedOver: true),
      Sent(name: "UDP complete", frame: Frames.v4(to: to), isHandedOver: false),
      Sent(name: "UDP complete, IPv6", frame: Frames.v6(to: to), isHandedOver: false),
      Sent(
        name: "UDP without", frame: Frames.v4(Frames.udp(nested, checksum: false), to: to),
        isHandedOver: false),
      Sent(name: "UDP cut short", frame: Frames.v4(Frames.raw(17, [1, 2, 3]), to: to), isHandedOver: false),
      Sent(name: "TCP complete", frame: Frames.v4(Frames.tcp(), to: to), isHandedOver: true),
      Sent(
        name: "TCP to complete",
        frame: partial(Frames.v4(Frames.tcp(), to: to), field: 16, protocolNumber: 6), isHandedOver: true),
      Sent(name: "ICMP", frame: Frames.v4(Frames.icmp(), to: to), isHandedOver: true),
      Sent(name: "ICMPv6", frame: Frames.v6(Frames.icmp(v6: true), to: to), isHandedOver: true),
      Sent(name: "fragment of UDP", frame: Frames.v4(to: to, fragment: 0x2000), isHandedOver: true),
      Sent(name: "SCTP", frame: Frames.v4(Frames.raw(IPProtocol.sctp, nested), to: to), isHandedOver: false),
      Sent(name: "GRE", frame: Frames.v4(Frames.raw(gre, nested), to: to), isHandedOver: false),
      Sent(name: "IP in IP", frame: Frames.v4(Frames.raw(4, nested), to: to), isHandedOver: false),
      Sent(name: "extension header", frame: Frames.v6(Frames.raw(0, nested), to: to), isHandedOver: false),
    ]
  }

  /// A wrong checksum that looks like one left to the device is the receiver's to find, unless the sender may have left
  /// it so; and what is sent around it, outer checksum and all, is what the kernel's device sends.
  @Test(arguments: [0, CULVERT_PORT_PARTIAL.rawValue]) func onlyWhatMayBeUnfinishedIsFinished(flags: UInt32)
    throws
  {
    let mayBePartial = flags != 0
    var outer = Outer.sent
    outer.checksum = true
    for (good, field, protocolNumber) in [
      (Frames.v4(), 6, 17), (Frames.v4(Frames.tcp()), 16, 6), (Frames.v6(), 6, 17),
    ] as [([UInt8], Int, UInt8)] {
      let sent = Self.partial(good, field: field, protocolNumber: protocolNumber)
      let expected = mayBePartial ? good : sent
      let (remote, local, received) = try Fixture.run(.afxdp) { fixture in
        try fixture.setPort(1, ifindex: Fixture.lo, flags: flags)
        try fixture.setPort(0, ifindex: 9, mtu: 1500, flags: flags, mac: Outer.uplink)
        try fixture.setTunnel(0) { $0.flags = CULVERT_TUNNEL_UDP_CSUM.rawValue }
        var toLocal = sent
        toLocal.replaceSubrange(0..<6, with: Frames.a2.octets)
        var inner = sent
        inner.replaceSubrange(0..<6, with: Frames.a1.octets)
        inner.replaceSubrange(6..<12, with: Frames.b1.octets)
        return (
          try fixture.run(.port, sent), try fixture.run(.port, toLocal),
          try fixture.run(.uplink, Outer().around(inner))
        )
      }
      #expect(remote.verdict == CULVERT_FORWARDED_ENCAP.rawValue)
      #expect(Array(remote.data.dropFirst(50)) == expected)
      #expect(remote.data == outer.choosing(from: remote.data).around(expected), "outer checksum and all")
      #expect(local.verdict == CULVERT_FORWARDED_LOCAL.rawValue)
      #expect(Array(local.data.dropFirst(12)) == Array(expected.dropFirst(12)))
      #expect(received.verdict == CULVERT_FORWARDED_DECAP.rawValue)
      #expect(Array(received.data.dropFirst(12)) == Array(expected.dropFirst(12)))
    }
  }

  @Test func whatCouldHideAnUnfinishedChecksumGoesToTheKernel() throws {
    for (to, forwarded) in [(Frames.b1, CULVERT_FORWARDED_ENCAP), (Frames.a2, CULVERT_FORWARDED_LOCAL)] {
      let sent = Self.frames(to: to)
      let outcomes = try Fixture.run(.afxdp) { fixture in
        try fixture.setPort(1, ifindex: Fixture.lo, flags: CULVERT_PORT_PARTIAL.rawValue)
        return try sent.map { try fixture.run(.port, $0.frame) }
      }
      for (one, outcome) in zip(sent, outcomes) {
        let expected = one.isHandedOver ? forwarded : CULVERT_PASS_CHECKSUM
        #expect(outcome.verdict == expected.rawValue, "\(one.name)")
        if !one.isHandedOver { #expect(outcome.data == one.frame, "\(one.name)") }
      }
    }
  }
}
