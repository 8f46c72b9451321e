// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import PacketHeaders
import TestSupport
import Testing

@testable import Netlink

@Suite(.enabled(if: mayUseKernel, Comment(rawValue: needsRoot)), .serialized)
struct TableTests {
  @Test func bridgeAndVXLANEntriesAgreeWithIPRoute2() throws {
    try NetworkNamespace.makeAnonymous().run {
      // The groups that IPv6 joins by and by would be there for one reader and not for the other.
      for place in ["default", "all"] {
        try? FileText.write("1", to: "/proc/sys/net/ipv6/conf/\(place)/disable_ipv6")
      }
      let route = try RouteConnection()
      try LinkTests.build(route)
      let port = try route.link(named: "va1").index
      let vxlan = try route.link(named: "vx0").index
      let bridge = try route.link(named: "br0").index
      // What c1 sent by itself may have been learned already.
      try route.changeFDB(.replace, FDBRequest(link: port, mac: mac("02:00:00:00:01:01"), table: .bridge))
      try route.changeFDB(
        .add, FDBRequest(link: vxlan, mac: mac("02:00:00:00:02:01"), table: .bridge, state: FDBRequest.ages))
      let remote = FDBRequest(
        link: vxlan, mac: mac("02:00:00:00:02:01"), table: .device, destination: .v4(v4("198.18.0.2")))
      try route.changeFDB(.add, remote)
      for octet in 2...4 {
        let flood = FDBRequest(
          link: vxlan, mac: .zero, table: .device, destination: .v4(v4("198.18.0.\(octet)")),
          state: FDBRequest.permanent)
        try route.changeFDB(.append, flood)
      }
      var odd = FDBRequest(
        link: vxlan, mac: mac("02:00:00:00:02:02"), table: .device, destination: .v4(v4("198.18.0.3")))
      odd.port = 4790
      odd.vni = 5
      try route.changeFDB(.add, odd)

      let entries = try route.fdb()
      let shown = try json("bridge -j fdb show")
      #expect(entries.count == shown.count)
      let names = Dictionary(uniqueKeysWithValues: try route.links().map { ($0.index, $0.name) })
      for entry in entries {
        let found = shown.contains {
          $0["mac"] as? String == entry.mac.description && $0["ifname"] as? String == names[entry.link]
            && $0["dst"] as? String == text(entry.destination)
            && $0["master"] as? String == entry.master.flatMap { names[$0] }
            && $0["port"] as? Int == entry.port.map(Int.init) && $0["vni"] as? Int == entry.vni.map(Int.init)
        }
        #expect(found, "\(entry)")
      }
      let zero = entries.filter { $0.link == vxlan && $0.mac.isZero && $0.isOfDevice }
      #expect(Set(zero.map(\.destination)) == Set((2...4).map { .v4(v4("198.18.0.\($0)")) }))
      #expect(entries.contains { $0.mac == odd.mac && $0.port == 4790 && $0.vni == 5 })
      #expect(entries.contains { $0.mac == mac("02:00:00:00:01:01") && $0.master == bridge && $0.isStatic })

      let ofPort = try route.fdb(of: port)
      #expect(Set(ofPort) == Set(entries.filter { $0.link == port }))
      let ofBridge = try route.fdb(bridge: bridge).filter { $0.master == bridge }
      #expect(Set(ofBridge) == Set(entries.filter { $0.master == bridge }))

      var moved = remote
      moved.destination = .v4(v4("198.18.0.9"))
      try route.changeFDB(.replace, moved)
      let after = try route.fdb(of: vxlan).filter { $0.mac == moved.mac && $0.isOfDevice }
      #expect(after.map(\.destination) == [.v4(v4("198.18.0.9"))])
      try route.changeFDB(.delete, moved)
      #expect(try !route.fdb(of: vxlan).contains { $0.mac == moved.mac && $0.isOfDevice })
    }
  }

  @Test func neighboursAgreeWithIPRoute2() throws {
    try NetworkNamespace.makeAnonymous().run {
      let route = try RouteConnection()
      try LinkTests.build(route)
      let uplink = try route.link(named: "up0").index
      let six = IPv6Address([0x20, 0x01, 0, 2] + [UInt8](repeating: 0, count: 11) + [9])!
      try route.changeNeighbour(.add, link: uplink, .v4(v4("198.18.0.2")), mac: mac("02:00:00:00:00:02"))
      try route.changeNeighbour(.add, link: uplink, .v6(six), mac: mac("02:00:00:00:00:03"))
      let neighbours = try route.neighbours().filter { $0.link == uplink && $0.isValid && $0.state == 0x80 }
      #expect(
        neighbours.contains { $0.address == .v4(v4("198.18.0.2")) && $0.mac == mac("02:00:00:00:00:02") })
      #expect(neighbours.contains { $0.address == .v6(six) && $0.mac == mac("02:00:00:00:00:03") })
      #expect(try json("ip -j neigh show dev up0 nud permanent").count == neighbours.count)
    }
  }

  @Test func routesAreWhatTheKernelWouldDo() throws {
    try NetworkNamespace.makeAnonymous().run {
      let route = try RouteConnection()
      try LinkTests.build(route)
      let uplink = try route.link(named: "up0").index
      _ = try sh(
        """
        ip route add 198.18.8.0/24 via 198.18.0.254 mtu 1480 hoplimit 9
        ip route add 198.18.9.0/24 nexthop via 198.18.0.253 nexthop via 198.18.0.254
        ip nexthop add id 5 via 198.18.0.252 dev up0
        ip route add 198.18.10.0/24 nhid 5
        ip nexthop add id 6 via 198.18.0.251 dev up0
        ip nexthop add id 7 group 5/6
        ip route add 198.18.11.0/24 nhid 7
        ip route add unreachable 198.18.12.0/24
        """)
      let direct = try route.route(to: ip("198.18.0.2"))
      #expect(direct.outInterface == uplink && direct.gateway == nil && direct.type == 1)
      #expect(direct.preferredSource == ip("198.18.0.1") && !direct.isMultipath && direct.mtu == nil)
      let via = try route.route(to: ip("198.18.8.1"), outInterface: uplink, source: ip("198.18.0.1"))
      #expect(via.gateway == .v4(v4("198.18.0.254")) && via.mtu == 1480 && via.hopLimit == 9)
      #expect(try route.route(to: ip("198.18.9.1")).isMultipath)
      let object = try route.route(to: ip("198.18.10.1"))
      #expect(object.nextHopID == 5 && !object.isMultipath && object.gateway == .v4(v4("198.18.0.252")))
      #expect(try route.route(to: ip("198.18.11.1")).isMultipath)
      _ = try sh("sysctl -qw net.ipv4.nexthop_compat_mode=0")
      #expect(try route.route(to: ip("198.18.11.1")).isMultipath)
      #expect(try route.route(to: ip("198.18.0.1")).type == 2)
      for address in ["198.18.12.1", "198.19.0.1"] {
        #expect(throws: Failure.self) { try route.route(to: ip(address)) }
      }
      for address in ["198.18.0.2", "198.18.8.1"] {
        let shown = try #require(try json("ip -j route get \(address)").first)
        let decision = try route.route(to: ip(address))
        #expect(shown["gateway"] as? String == text(decision.gateway))
        #expect(shown["prefsrc"] as? String == decision.preferredSource?.description)
      }
      #expect(
        try route.addresses(ofIPv6: false).filter { $0.link == uplink }
          == [InterfaceAddress(link: uplink, address: ip("198.18.0.1"), prefix: 24)])
    }
  }

  @Test func routesAreWritten() throws {
    try NetworkNamespace.makeAnonymous().run {
      let route = try RouteConnection()
      try LinkTests.build(route)
      var settings = RouteSettings(to: .v4(v4("198.18.20.0")), prefix: 24)
      settings.gateway = .v4(v4("198.18.0.7"))
      settings.mtu = 1300
      try route.changeRoute(.add, settings)
      let decision = try route.route(to: ip("198.18.20.1"))
      #expect(decision.gateway == settings.gateway && decision.mtu == 1300)
      try route.changeRoute(.delete, settings)
      #expect(throws: Failure.self) { try route.route(to: ip("198.18.20.1")) }
    }
  }

  @Test func tenThousandEntriesAreDumped() throws {
    try NetworkNamespace.makeAnonymous().run {
      let route = try RouteConnection()
      try LinkTests.build(route)
      let vxlan = try route.link(named: "vx0").index
      for i in 0..<10_000 {
        let address = MACAddress(value: 0x0200_0100_0000 + UInt64(i))
        try route.changeFDB(
          .add, FDBRequest(link: vxlan, mac: address, table: .device, destination: .v4(v4("198.18.0.2"))))
      }
      let entries = try route.fdb(of: vxlan).filter { $0.isOfDevice && $0.mac.value >> 24 == 0x02_0001 }
      #expect(Set(entries.map(\.mac)).count == 10_000)
    }
  }

  private func text(_ address: IPAddress?) -> String? {
    if case .v4(let address) = address { address.description } else { nil }
  }
}
