// SPDX-License-Identifier: Apache-2.0
import CBPFObjects
import PacketHeaders

extension Case {
  private static func uplink(
    _ name: String, _ frame: [UInt8], _ verdict: culvert_verdict, out: Out = .unchanged,
    prepare: @escaping @Sendable (Fixture) throws -> Void = { _ in }
  ) -> Case {
    Case(
      name: "uplink: \(name)", program: .uplink, frame: frame, verdict: verdict, slot: 0, out: out,
      prepare: prepare)
  }

  private static let inner = Frames.v4(from: Frames.b1, to: Frames.a1)
  private static func outer(_ change: (inout Outer) -> Void) -> [UInt8] {
    var outer = Outer()
    change(&outer)
    return outer.around(inner)
  }

  /// The frame with one byte made another, and the outer IPv4 checksum made right again.
  private static func altered(_ offset: Int, by bits: UInt8, fixChecksum: Bool = false) -> [UInt8] {
    var frame = Outer().around(inner)
    frame[offset] ^= bits
    if fixChecksum {
      frame[24] = 0
      frame[25] = 0
      var sum = InternetChecksum()
      sum.add(frame[14..<34].span.bytes)
      frame[24] = UInt8(sum.complement >> 8)
      frame[25] = UInt8(sum.complement & 0xff)
    }
    return frame
  }

  private static func decapsulated(
    _ name: String, _ inner: [UInt8], _ change: (inout Outer) -> Void = { _ in }
  )
    -> Case
  {
    var outer = Outer()
    change(&outer)
    return uplink(name, outer.around(inner), CULVERT_FORWARDED_DECAP, out: .exactly(inner))
  }

  private static func strict(_ fixture: Fixture) throws {
    try fixture.setSegment(flags: CULVERT_DOMAIN_STRICT.rawValue)
  }

  static let uplinkForwarded: [Case] = [
    decapsulated("UDP", inner),
    decapsulated("IPv6", Frames.v6(from: Frames.b1, to: Frames.a1)),
    decapsulated("ICMP", Frames.v4(Frames.icmp(), from: Frames.b1, to: Frames.a2)),
    decapsulated("fragment inside", Frames.v4(from: Frames.b1, to: Frames.a1, fragment: 0x2000)),
    decapsulated("options inside", Frames.v4(from: Frames.b1, to: Frames.a1, options: [1, 1, 1, 0])),
    decapsulated("padding inside", inner + [0, 0]),
    decapsulated("DF, identification, TTL 1", inner) {
      $0.fragment = 0x4000
      $0.identification = 99
      $0.ttl = 1
    },
    decapsulated("from the other VTEP", Frames.v4(from: Frames.b2, to: Frames.a1)) {
      $0.source = Outer.otherRemote
    },
    decapsulated("checksum outside, UDP inside", inner) { $0.checksum = true },
    decapsulated("checksum outside, TCP inside", Frames.v4(Frames.tcp(), from: Frames.b1, to: Frames.a1)) {
      $0.checksum = true
    },
    decapsulated("checksum outside, ICMP inside", Frames.v4(Frames.icmp(), from: Frames.b1, to: Frames.a1)) {
      $0.checksum = true
    },
    decapsulated(
      "checksum outside, ICMPv6 inside", Frames.v6(Frames.icmp(v6: true), from: Frames.b1, to: Frames.a1)
    ) {
      $0.checksum = true
    },
    decapsulated(
      "all of the port's MTU",
      Frames.v4(Frames.udp([UInt8](repeating: 1, count: 1450 - 28)), from: Frames.b1, to: Frames.a1)),
    uplink("strict, a VTEP", Outer().around(inner), CULVERT_FORWARDED_DECAP, out: .exactly(inner)) {
      try strict($0)
      try $0.vteps.update(culvert_vtep_key(domain: Fixture.domain, remote: Outer.remote.bigEndian), 1)
    },
    uplink(
      "several buffers to a port that takes them", Outer().around(largeInner), CULVERT_FORWARDED_DECAP,
      out: .exactly(largeInner)
    ) { try $0.setPort(1, ifindex: Fixture.lo, mtu: 9000, flags: CULVERT_PORT_MULTI_BUFFER.rawValue) },
  ]

  private static let largeInner = Frames.v4(
    Frames.udp([UInt8](repeating: 0x5a, count: 5000)), from: Frames.b1, to: Frames.a1)

  static let uplinkOuter: [Case] = [
    uplink(
      "ARP",
      EthernetHeader(destination: Outer.uplink, source: Outer.nextHop, type: EthernetHeader.arp).bytes
        + [UInt8](repeating: 0, count: 28), CULVERT_PASS_NOT_OVERLAY),
    uplink("IPv6 underlay", Frames.v6(from: Outer.nextHop, to: Outer.uplink), CULVERT_PASS_NOT_OVERLAY),
    uplink("TCP", Frames.v4(Frames.tcp(), from: Outer.nextHop, to: Outer.uplink), CULVERT_PASS_NOT_OVERLAY),
    uplink(
      "other UDP", Frames.v4(Frames.udp(to: 53), from: Outer.nextHop, to: Outer.uplink),
      CULVERT_PASS_NOT_OVERLAY),
    uplink(
      "short UDP", Frames.v4(Frames.udp([], to: 53), from: Outer.nextHop, to: Outer.uplink),
      CULVERT_PASS_NOT_OVERLAY),
    uplink("to another host's MAC", outer { $0.destination = Frames.unknown }, CULVERT_PASS_NOT_OVERLAY),
    uplink(
      "broadcast", outer { $0.destination = MACAddress(value: 0xffff_ffff_ffff) }, CULVERT_PASS_NOT_OVERLAY),
    uplink("another UDP port", outer { $0.udpPort = 8472 }, CULVERT_PASS_NOT_OVERLAY),
    uplink("IPv4 cut short", Array(Outer().around(inner).prefix(33)), CULVERT_PASS_TRUNCATED),
    uplink("VXLAN cut short", Array(Outer().around(inner).prefix(49)), CULVERT_PASS_TRUNCATED),
    uplink("inner Ethernet cut short", Outer().around(Array(inner.prefix(13))), CULVERT_PASS_TRUNCATED),
    uplink("inner IPv4 cut short", Outer().around(Array(inner.prefix(33))), CULVERT_PASS_TRUNCATED),
    uplink("options", altered(14, by: 3, fixChecksum: true), CULVERT_PASS_OUTER),
    uplink("more fragments", outer { $0.fragment = 0x2000 }, CULVERT_PASS_OUTER),
    uplink("fragment offset", outer { $0.fragment = 1 }, CULVERT_PASS_OUTER),
    uplink("wrong header checksum", altered(24, by: 0x10), CULVERT_PASS_OUTER),
    uplink("IP length over the frame", altered(16, by: 1, fixChecksum: true), CULVERT_PASS_OUTER),
    uplink("UDP length not IP's", altered(39, by: 2), CULVERT_PASS_OUTER),
    uplink("padding behind", Outer().around(inner) + [0], CULVERT_PASS_OUTER),
    uplink("no I flag", outer { $0.vxlan.flags = 0 }, CULVERT_PASS_VXLAN_FLAGS),
    uplink("GBP", outer { $0.vxlan.flags = 0x8800_0001 }, CULVERT_PASS_VXLAN_FLAGS),
    uplink("reserved byte", outer { $0.vxlan.reserved = 1 }, CULVERT_PASS_VXLAN_FLAGS),
    uplink("another VNI", outer { $0.vxlan.vni = 43 }, CULVERT_PASS_UNKNOWN_VNI),
    uplink("another local address", outer { $0.target = Outer.otherRemote }, CULVERT_PASS_UNKNOWN_VNI),
  ]

  static let uplinkInner: [Case] = [
    uplink("strict, no VTEP", Outer().around(inner), CULVERT_DROP_NOT_A_VTEP, prepare: strict),
    uplink(
      "checksum outside, UDP without inside",
      Outer(checksum: true).around(Frames.v4(Frames.udp(checksum: false), from: Frames.b1, to: Frames.a1)),
      CULVERT_PASS_CHECKSUM),
    uplink(
      "checksum outside, fragment inside",
      Outer(checksum: true).around(Frames.v4(from: Frames.b1, to: Frames.a1, fragment: 0x2000)),
      CULVERT_PASS_CHECKSUM),
    uplink(
      "checksum outside, SCTP inside",
      Outer(checksum: true).around(
        Frames.v4(Frames.raw(IPProtocol.sctp, [1, 2, 3, 4]), from: Frames.b1, to: Frames.a1)),
      CULVERT_PASS_CHECKSUM),
    uplink(
      "broadcast inside", Outer().around(Frames.v4(from: Frames.b1, to: MACAddress(value: 0xffff_ffff_ffff))),
      CULVERT_PASS_MULTICAST),
    uplink(
      "ARP inside",
      Outer().around(
        EthernetHeader(destination: Frames.a1, source: Frames.b1, type: EthernetHeader.arp).bytes
          + [UInt8](repeating: 0, count: 28)), CULVERT_PASS_NOT_IP),
    uplink(
      "neighbour advertisement",
      Outer().around(
        Frames.v6(Frames.raw(IPProtocol.icmpv6, [136, 0, 0, 0]), from: Frames.b1, to: Frames.a1)),
      CULVERT_PASS_ND),
    uplink(
      "unknown source", Outer().around(Frames.v4(from: Frames.unknown, to: Frames.a1)),
      CULVERT_PASS_UNKNOWN_SOURCE),
    uplink(
      "source of another VTEP", Outer().around(Frames.v4(from: Frames.b2, to: Frames.a1)),
      CULVERT_PASS_MOVED_SOURCE),
    uplink("source of a VTEP on another VNI", Outer().around(inner), CULVERT_PASS_MOVED_SOURCE) {
      try $0.setTunnel(0) { $0.vni_be = UInt32(43 << 8).bigEndian }
    },
    uplink(
      "source of a container here", Outer().around(Frames.v4(from: Frames.a2, to: Frames.a1)),
      CULVERT_PASS_MOVED_SOURCE),
    uplink(
      "source of the kernel's", Outer().around(Frames.v4(from: Frames.kernelOnly, to: Frames.a1)),
      CULVERT_PASS_HOST),
    uplink(
      "unknown destination", Outer().around(Frames.v4(from: Frames.b1, to: Frames.unknown)),
      CULVERT_PASS_UNKNOWN_DEST),
    uplink(
      "destination behind a VTEP", Outer().around(Frames.v4(from: Frames.b1, to: Frames.b2)),
      CULVERT_PASS_SAME_PORT),
    uplink(
      "destination of the kernel's", Outer().around(Frames.v4(from: Frames.b1, to: Frames.kernelOnly)),
      CULVERT_PASS_HOST),
    uplink("port not in use", Outer().around(inner), CULVERT_PASS_UNKNOWN_PORT) {
      try $0.setPort(1, ifindex: 0)
    },
    uplink("no device", Outer().around(inner), CULVERT_PASS_UNKNOWN_PORT) {
      try $0.devices.delete(1)
    }.aboutDevices,
    uplink(
      "over the port's MTU",
      Outer().around(
        Frames.v4(Frames.udp([UInt8](repeating: 1, count: 1451 - 28)), from: Frames.b1, to: Frames.a1)),
      CULVERT_PASS_MTU),
    uplink("several buffers, port takes one", Outer().around(largeInner), CULVERT_PASS_MULTI_BUFFER) {
      try $0.setPort(1, ifindex: Fixture.lo, mtu: 9000)
    },
    uplink("source due for refresh", Outer().around(inner), CULVERT_PASS_REFRESH) {
      try $0.setFDB(Frames.b1, .remote(tunnel: 0), every: 1)
    },
  ]
}
