// SPDX-License-Identifier: Apache-2.0
import Glibc
import LinuxSystem
import PacketHeaders
import TestSupport
import Testing

@testable import Netlink

@Suite(.enabled(if: mayUseKernel, Comment(rawValue: needsRoot)), .serialized)
struct LinkTests {
  /// A bridge with a veth and a VXLAN device, over a second veth.
  static func build(_ route: borrowing RouteConnection) throws {
    try route.createVeth(
      LinkSettings("up0", mtu: 1600, mac: mac("02:00:00:00:00:01"), transmitQueues: 2, receiveQueues: 2),
      LinkSettings("up1", mac: mac("02:00:00:00:00:02")))
    try route.createVeth(LinkSettings("va1"), LinkSettings("c1", mac: mac("02:00:00:00:01:01")))
    try route.createBridge(LinkSettings("br0"), BridgeSettings(ageingSeconds: 120, multicastSnooping: false))
    let uplink = try route.link(named: "up0").index
    var vxlan = VXLANSettings(vni: 4097)
    vxlan.local = ip("198.18.0.1")
    vxlan.link = uplink
    vxlan.portRange = 40_000...50_000
    vxlan.ttl = 17
    vxlan.tos = 8
    vxlan.df = 1
    vxlan.learning = true
    vxlan.ageingSeconds = 77
    vxlan.udpChecksum = false
    try route.createVXLAN(LinkSettings("vx0", mtu: 1400), vxlan)
    let bridge = try route.link(named: "br0").index
    for name in ["va1", "vx0"] { try route.setMaster(try route.link(named: name).index, bridge) }
    for name in ["lo", "up0", "up1", "va1", "c1", "br0", "vx0"] {
      try route.setUp(try route.link(named: name).index)
    }
    try route.addAddress(uplink, .v4(v4("198.18.0.1")), prefix: 24)
  }

  @Test func whatWasCreatedIsWhatIsRead() throws {
    try NetworkNamespace.makeAnonymous().run {
      let route = try RouteConnection()
      try Self.build(route)
      // The bridge hears of a port's carrier from the kernel's own queue, a moment later.
      let limit = Clock.monotonicNanoseconds + 5_000_000_000
      while try route.link(named: "va1").bridgePort?.state != 3, Clock.monotonicNanoseconds < limit {
        usleep(10_000)
      }
      let links = try route.links()
      #expect(links.map(\.name).sorted() == ["br0", "c1", "lo", "up0", "up1", "va1", "vx0"])
      let uplink = try #require(links.first { $0.name == "up0" })
      #expect(uplink.kind == "veth" && uplink.mtu == 1600 && uplink.isUp && uplink.hasCarrier)
      #expect(uplink.mac == mac("02:00:00:00:00:01"))
      #expect(uplink.transmitQueues == 2 && uplink.receiveQueues == 2)
      #expect(uplink.peer == links.first { $0.name == "up1" }?.index)
      let bridge = try #require(links.first { $0.name == "br0" })
      #expect(bridge.bridge?.ageingSeconds == 120)
      let port = try #require(links.first { $0.name == "va1" })
      #expect(port.master == bridge.index)
      #expect(port.bridgePort?.state == 3)
      #expect(port.bridgePort?.learning == true)
      let vxlan = try #require(links.first { $0.name == "vx0" })
      let expected = VXLANAttributes(
        vni: 4097, port: 4789, portRange: 40_000...50_000, local: ip("198.18.0.1"), isIPv6: false,
        link: uplink.index, ttl: 17, ttlInherit: false, tos: 8, df: 1, learning: true, ageingSeconds: 77,
        udpChecksum: false, extensions: [])
      #expect(vxlan.vxlan == expected)
      #expect(vxlan.mtu == 1400)
      #expect(try route.link(index: vxlan.index) == vxlan)
    }
  }

  @Test func aDeviceOverIPv6IsWhatItWasMade() throws {
    try NetworkNamespace.makeAnonymous().run {
      let route = try RouteConnection()
      var settings = VXLANSettings(vni: 42)
      settings.local = ip("2001:2:0:1::1")
      settings.remote = ip("2001:2:0:1::2")
      settings.flowLabel = 0xabcde
      try route.createVXLAN(LinkSettings("vx0"), settings)
      let vxlan = try #require(try route.link(named: "vx0").vxlan)
      #expect(vxlan.isIPv6 && vxlan.local == settings.local && vxlan.group == settings.remote)
      // The kernel's default over IPv6, whatever `udpcsum` says of IPv4.
      #expect(vxlan.udpChecksum && !vxlan.takesZeroChecksum && vxlan.flowLabel == 0xabcde)
      settings.vni = 43
      settings.udpChecksum = true
      settings.sendsZeroChecksum6 = true
      settings.takesZeroChecksum6 = true
      try route.createVXLAN(LinkSettings("vx1"), settings)
      let zero = try #require(try route.link(named: "vx1").vxlan)
      #expect(!zero.udpChecksum && zero.takesZeroChecksum)
    }
  }

  @Test func agreesWithIPRoute2() throws {
    try NetworkNamespace.makeAnonymous().run {
      let route = try RouteConnection()
      try Self.build(route)
      let links = try route.links()
      let shown = try json("ip -d -j link")
      #expect(shown.count == links.count)
      for object in shown {
        let link = try #require(links.first { $0.name == object["ifname"] as? String })
        #expect(link.index == (object["ifindex"] as? Int).map(Int32.init))
        #expect(Int(link.mtu) == object["mtu"] as? Int)
        #expect(link.mac?.description == object["address"] as? String)
        #expect(link.qdisc == object["qdisc"] as? String)
        #expect(Int(link.transmitQueues) == object["num_tx_queues"] as? Int)
        let info = object["linkinfo"] as? [String: Any]
        #expect(link.kind == info?["info_kind"] as? String)
        let master = links.first { $0.index == link.master }?.name
        #expect(master == object["master"] as? String)
        if let vxlan = link.vxlan {
          let data = try #require(info?["info_data"] as? [String: Any])
          #expect(Int(vxlan.vni) == data["id"] as? Int)
          #expect(Int(vxlan.port) == data["port"] as? Int)
          #expect(vxlan.local?.description == data["local"] as? String)
          #expect(Int(vxlan.ageingSeconds) == data["ageing"] as? Int)
          #expect(vxlan.udpChecksum == data["udp_csum"] as? Bool)
          #expect(Int(vxlan.ttl) == data["ttl"] as? Int)
        }
      }
    }
  }

  @Test(arguments: [
    ("external", ["collect-metadata"]), ("id 7 gbp", ["gbp"]),
    ("id 7 remcsumtx remcsumrx", ["remcsum-rx", "remcsum-tx"]),
    ("id 7 proxy rsc l2miss l3miss", ["l2miss", "l3miss", "proxy", "rsc"]),
    ("external gpe", ["collect-metadata", "gpe"]), ("external vnifilter", ["collect-metadata", "vnifilter"]),
    ("id 7", []),
  ])
  func namesVXLANExtensions(options: String, expected: [String]) throws {
    try NetworkNamespace.makeAnonymous().run {
      _ = try sh("ip link add vx0 type vxlan dstport 4789 \(options)")
      #expect(try RouteConnection().link(named: "vx0").vxlan?.extensions == expected)
    }
  }

  @Test func refusalsCarryErrnoAndTheKernelsWords() throws {
    try NetworkNamespace.makeAnonymous().run {
      let route = try RouteConnection()
      #expect { try route.link(named: "nothing") } throws: {
        ($0 as? Failure)?.errno == .operationNotSupportedByDevice
      }
      var vxlan = VXLANSettings(vni: 1 << 25)
      vxlan.learning = true
      #expect { try route.createVXLAN(LinkSettings("vx0"), vxlan) } throws: {
        let failure = $0 as? Failure
        return failure?.errno == .outOfRange && failure?.advice?.contains("kernel says") == true
      }
      // And the connection goes on working.
      #expect(try route.links().map(\.name) == ["lo"])
    }
  }

  @Test func changesAndDeletion() throws {
    try NetworkNamespace.makeAnonymous().run {
      let route = try RouteConnection()
      let other = try NetworkNamespace.makeAnonymous()
      try route.createVeth(LinkSettings("a"), LinkSettings("b", namespace: other.descriptor.raw))
      let a = try route.link(named: "a")
      #expect(a.peerNamespaceID == (try route.namespaceID(of: other.descriptor.raw)))
      #expect(a.peerNamespaceID != nil)
      try route.setMTU(a.index, 1234)
      try route.setMAC(a.index, mac("02:aa:00:00:00:01"))
      try route.setName(a.index, "aa")
      let changed = try route.link(index: a.index)
      #expect(changed.mtu == 1234 && changed.name == "aa" && changed.mac == mac("02:aa:00:00:00:01"))
      try route.move(a.index, toNamespace: other.descriptor.raw)
      #expect(try RouteConnection.open(in: other).links().map(\.name).sorted() == ["aa", "b", "lo"])
      let there = try RouteConnection.open(in: other)
      try there.delete(link: try there.link(named: "b").index)
      #expect(try there.links().map(\.name) == ["lo"])
    }
  }
}
