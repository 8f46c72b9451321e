// SPDX-License-Identifier: Apache-2.0
import CBPFObjects
import PacketHeaders

extension Case {
  /// A container's frame, from a1 unless the frame says otherwise.
  private static func port(
    _ name: String, _ frame: [UInt8], _ verdict: culvert_verdict, slot: UInt32 = 1, out: Out = .unchanged,
    prepare: @escaping @Sendable (Fixture) throws -> Void = { _ in }
  ) -> Case {
    Case(
      name: "port: \(name)", program: .port, frame: frame, verdict: verdict, slot: slot, out: out,
      prepare: prepare)
  }

  private static func tunnel(
    _ change: @escaping @Sendable (inout culvert_tunnel) -> Void
  ) -> @Sendable (Fixture) throws -> Void {
    { try $0.setTunnel(0, change) }
  }

  static let large = Frames.v4(Frames.udp([UInt8](repeating: 0x5a, count: 5000)))
  static let largeLocal = Frames.v4(Frames.udp([UInt8](repeating: 0x5a, count: 5000)), to: Frames.a2)

  static let portForwarded: [Case] = [
    port("local", Frames.v4(to: Frames.a2), CULVERT_FORWARDED_LOCAL),
    port("local IPv6", Frames.v6(to: Frames.a2), CULVERT_FORWARDED_LOCAL),
    port(
      "local, to its own address", Frames.v4(to: Frames.a2, addresses: (Frames.a1v4, Frames.a1v4)),
      CULVERT_FORWARDED_LOCAL
    ).toItself,
    port(
      "local IPv6, to its own address", Frames.v6(to: Frames.a2, addresses: (Frames.a1v6, Frames.a1v6)),
      CULVERT_FORWARDED_LOCAL
    ).toItself,
    port(
      "local, all of the MTU", Frames.v4(Frames.udp([UInt8](repeating: 1, count: 1450 - 28)), to: Frames.a2),
      CULVERT_FORWARDED_LOCAL),
    port("several buffers to a port that takes them", largeLocal, CULVERT_FORWARDED_LOCAL) {
      try $0.setPort(2, ifindex: 3, mtu: 9000, flags: CULVERT_PORT_MULTI_BUFFER.rawValue)
    },
    port("UDP", Frames.v4(), CULVERT_FORWARDED_ENCAP, out: .encapsulated(.sent)),
    port("TCP", Frames.v4(Frames.tcp()), CULVERT_FORWARDED_ENCAP, out: .encapsulated(.sent)),
    port("ICMP", Frames.v4(Frames.icmp()), CULVERT_FORWARDED_ENCAP, out: .encapsulated(.sent)),
    port("IPv6", Frames.v6(), CULVERT_FORWARDED_ENCAP, out: .encapsulated(.sent)),
    port(
      "IPv4 options", Frames.v4(options: [1, 1, 1, 0]), CULVERT_FORWARDED_ENCAP, out: .encapsulated(.sent)),
    port("fragment", Frames.v4(fragment: 0x2000), CULVERT_FORWARDED_ENCAP, out: .encapsulated(.sent)),
    port("Ethernet padding", Frames.v4() + [0, 0, 0], CULVERT_FORWARDED_ENCAP, out: .encapsulated(.sent)),
    port(
      "shorter than its IP header says", Array(Frames.v4().dropLast(3)), CULVERT_FORWARDED_ENCAP,
      out: .encapsulated(.sent)),
    port(
      "IPv4 header alone", Array(Frames.v4().prefix(34)), CULVERT_FORWARDED_ENCAP, out: .encapsulated(.sent)),
    port(
      "to the other VTEP", Frames.v4(to: Frames.b2), CULVERT_FORWARDED_ENCAP,
      out: .encapsulated(with { $0.target = Outer.otherRemote })),
    port(
      "all of the tunnel's MTU", Frames.v4(Frames.udp([UInt8](repeating: 1, count: 1450 - 28))),
      CULVERT_FORWARDED_ENCAP, out: .encapsulated(.sent)),
    port(
      "several buffers to an uplink that takes them", large, CULVERT_FORWARDED_ENCAP,
      out: .encapsulated(.sent)
    ) {
      try $0.setPort(
        0, ifindex: 9, mtu: 9000, flags: CULVERT_PORT_MULTI_BUFFER.rawValue, mac: Outer.uplink)
      try $0.setTunnel(0) { $0.mtu = 8950 }
    },
    port(
      "another UDP port and VNI", Frames.v4(), CULVERT_FORWARDED_ENCAP,
      out: .encapsulated(
        with {
          $0.udpPort = 8472
          $0.vxlan = VXLANHeader(vni: 0xff_fffe)
        }),
      prepare: tunnel {
        $0.udp_port = UInt16(8472).bigEndian
        $0.vni_be = UInt32(0xff_fffe00).bigEndian
      }),
  ]

  static func with(_ change: (inout Outer) -> Void) -> Outer {
    var outer = Outer.sent
    change(&outer)
    return outer
  }

  static let portHeaders: [Case] = [
    port(
      "TTL set", Frames.v4(ttl: 3), CULVERT_FORWARDED_ENCAP, out: .encapsulated(with { $0.ttl = 17 }),
      prepare: tunnel { $0.ttl = 17 }),
    port(
      "TTL inherited", Frames.v4(ttl: 3), CULVERT_FORWARDED_ENCAP, out: .encapsulated(with { $0.ttl = 3 }),
      prepare: tunnel { $0.flags = CULVERT_TUNNEL_TTL_INHERIT.rawValue }),
    port(
      "TTL inherited of 0", Frames.v4(ttl: 0), CULVERT_FORWARDED_ENCAP, out: .encapsulated(.sent),
      prepare: tunnel { $0.flags = CULVERT_TUNNEL_TTL_INHERIT.rawValue }),
    port(
      "hop limit inherited", Frames.v6(hopLimit: 255), CULVERT_FORWARDED_ENCAP,
      out: .encapsulated(with { $0.ttl = 255 }),
      prepare: tunnel { $0.flags = CULVERT_TUNNEL_TTL_INHERIT.rawValue }),
    port(
      "TOS set", Frames.v4(tos: 0xb8), CULVERT_FORWARDED_ENCAP, out: .encapsulated(with { $0.tos = 0x48 }),
      prepare: tunnel { $0.tos = 0x48 }),
    port(
      "TOS inherited", Frames.v4(tos: 0xb8), CULVERT_FORWARDED_ENCAP,
      out: .encapsulated(with { $0.tos = 0xb8 }),
      prepare: tunnel { $0.flags = CULVERT_TUNNEL_TOS_INHERIT.rawValue }),
    port(
      "traffic class inherited", Frames.v6(trafficClass: 0x2e), CULVERT_FORWARDED_ENCAP,
      out: .encapsulated(with { $0.tos = 0x2e }),
      prepare: tunnel { $0.flags = CULVERT_TUNNEL_TOS_INHERIT.rawValue }),
    port("DF unset", Frames.v4(fragment: 0x4000), CULVERT_FORWARDED_ENCAP, out: .encapsulated(.sent)),
    port(
      "DF set", Frames.v4(), CULVERT_FORWARDED_ENCAP, out: .encapsulated(with { $0.fragment = 0x4000 }),
      prepare: tunnel { $0.flags = CULVERT_TUNNEL_DF_SET.rawValue }),
    port(
      "DF inherited", Frames.v4(fragment: 0x4000), CULVERT_FORWARDED_ENCAP,
      out: .encapsulated(with { $0.fragment = 0x4000 }),
      prepare: tunnel { $0.flags = CULVERT_TUNNEL_DF_INHERIT.rawValue }),
    port(
      "no DF inherited", Frames.v4(), CULVERT_FORWARDED_ENCAP, out: .encapsulated(.sent),
      prepare: tunnel { $0.flags = CULVERT_TUNNEL_DF_INHERIT.rawValue }),
    port(
      "DF inherited from IPv6", Frames.v6(), CULVERT_FORWARDED_ENCAP,
      out: .encapsulated(with { $0.fragment = 0x4000 }),
      prepare: tunnel { $0.flags = CULVERT_TUNNEL_DF_INHERIT.rawValue }),
  ]

  static let portPassed: [Case] = [
    port("IPv4 cut short", Array(Frames.v4().prefix(33)), CULVERT_PASS_TRUNCATED),
    port("IPv6 cut short", Array(Frames.v6().prefix(53)), CULVERT_PASS_TRUNCATED),
    port("broadcast", Frames.v4(to: MACAddress(value: 0xffff_ffff_ffff)), CULVERT_PASS_MULTICAST),
    port("multicast", Frames.v6(to: MACAddress(value: 0x3333_0000_0001)), CULVERT_PASS_MULTICAST),
    port(
      "ARP",
      EthernetHeader(destination: Frames.b1, source: Frames.a1, type: EthernetHeader.arp).bytes
        + [UInt8](repeating: 0, count: 46), CULVERT_PASS_NOT_IP),
    port(
      "VLAN tag",
      EthernetHeader(destination: Frames.b1, source: Frames.a1, type: EthernetHeader.vlan).bytes
        + [0, 5, 8, 0] + Frames.v4().dropFirst(14), CULVERT_PASS_NOT_IP),
    port(
      "neighbour solicitation", Frames.v6(Frames.raw(IPProtocol.icmpv6, [135, 0, 0, 0])), CULVERT_PASS_ND),
    port("redirect of IPv6", Frames.v6(Frames.raw(IPProtocol.icmpv6, [137, 0, 0, 0])), CULVERT_PASS_ND),
    port("unknown source", Frames.v4(from: Frames.unknown), CULVERT_PASS_UNKNOWN_SOURCE),
    port(
      "unknown source by an unknown port", Frames.v4(from: Frames.unknown), CULVERT_PASS_UNKNOWN_PORT, slot: 0
    ) {
      try $0.portByIfindex.update(culvert_port_place(Fixture.lo), UInt32(CULVERT_NO_PORT))
    },
    port("source of another port", Frames.v4(from: Frames.a2), CULVERT_PASS_MOVED_SOURCE),
    port("source behind a VTEP", Frames.v4(from: Frames.b2), CULVERT_PASS_MOVED_SOURCE),
    port("source whose slot is out of bounds", Frames.v4(), CULVERT_PASS_MOVED_SOURCE) {
      try $0.setFDB(Frames.a1, .local(slot: 99))
    },
    port("source of the kernel's", Frames.v4(from: Frames.kernelOnly), CULVERT_PASS_HOST),
    port("unknown destination", Frames.v4(to: Frames.unknown), CULVERT_PASS_UNKNOWN_DEST),
    port("destination of the host's own", Frames.v4(to: Frames.kernelOnly), CULVERT_PASS_HOST),
    port("destination of a port left to the kernel", Frames.v4(), CULVERT_PASS_POLICY) {
      try $0.setFDB(Frames.b1, .kernel(.passPolicy))
    },
    port("destination of a next-hop object", Frames.v4(), CULVERT_PASS_NEXTHOP_OBJECT) {
      try $0.setFDB(Frames.b1, .kernel(.passNextHopObject))
    },
    port("destination with no reason", Frames.v4(), CULVERT_PASS_NOT_RESOLVED) {
      try $0.setFDB(Frames.b1, .kernel(.forwardedLocal))
    },
    port("to itself", Frames.v4(to: Frames.a1), CULVERT_PASS_SAME_PORT),
    port("local, port not in use", Frames.v4(to: Frames.a2), CULVERT_PASS_UNKNOWN_PORT) {
      try $0.setPort(2, ifindex: 0)
    },
    port("local, no device", Frames.v4(to: Frames.a2), CULVERT_PASS_UNKNOWN_PORT) {
      try $0.devices.delete(2)
    }.aboutDevices,
    port("no uplink", Frames.v4(), CULVERT_PASS_UNKNOWN_PORT) { try $0.setPort(0, ifindex: 0) },
    port("uplink, no device", Frames.v4(), CULVERT_PASS_UNKNOWN_PORT) {
      try $0.devices.delete(0)
    }.aboutDevices,
    port("no route to the VTEP", Frames.v4(), CULVERT_PASS_NOT_RESOLVED, prepare: tunnel { $0.valid = 0 }),
    port(
      "next hop without a neighbour", Frames.v4(), CULVERT_PASS_NO_NEIGHBOUR,
      prepare: tunnel {
        $0.valid = 0
        $0.reason = UInt16(CULVERT_PASS_NO_NEIGHBOUR.rawValue)
      }),
    port("tunnel out of bounds", Frames.v4(), CULVERT_PASS_NOT_RESOLVED) {
      try $0.setFDB(Frames.b1, .remote(tunnel: 4096))
    },
    port(
      "over the tunnel's MTU", Frames.v4(Frames.udp([UInt8](repeating: 1, count: 1451 - 28))),
      CULVERT_PASS_MTU),
    port(
      "over the port's MTU", Frames.v4(Frames.udp([UInt8](repeating: 1, count: 1451 - 28)), to: Frames.a2),
      CULVERT_PASS_MTU),
    port(
      "several buffers, uplink takes one", large, CULVERT_PASS_MULTI_BUFFER, prepare: tunnel { $0.mtu = 8950 }
    ),
    port("several buffers, port takes one", largeLocal, CULVERT_PASS_MULTI_BUFFER) {
      try $0.setPort(2, ifindex: 3, mtu: 9000)
    },
    port("source due for refresh", Frames.v4(), CULVERT_PASS_REFRESH) {
      try $0.setFDB(Frames.a1, .local(slot: 1), every: 1)
    },
    port("source due for refresh, local", Frames.v4(to: Frames.a2), CULVERT_PASS_REFRESH) {
      try $0.setFDB(Frames.a1, .local(slot: 1), every: 1)
    },
  ]
}
