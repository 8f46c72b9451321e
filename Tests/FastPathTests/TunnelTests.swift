// SPDX-License-Identifier: Apache-2.0
import CBPFObjects
import PacketHeaders
import Testing

@testable import FastPath
@testable import Netlink

/// Resolution of a tunnel, as vxlan_xmit_one() and udp_flow_src_port() do it.
@Suite struct TunnelTests {
  func resolved(_ change: (inout Link, inout UnderlayState) -> Void) throws -> culvert_tunnel {
    let world = World()
    var underlay = world.underlay
    var device = Link.vx0
    let key = TunnelKey(remote: world.vtep, port: 4789, vni: 42)
    underlay.routes[key.route] = try world.context.route(key.route)
    change(&device, &underlay)
    return culvert_tunnel(key, key.resolve(device: device, underlay: underlay), uplink: 9)
  }

  /// The kernel's range leaves its end out, and one without width does not count.
  @Test(
    arguments: [
      (5000...5001, 5000, 5000), (5000...5002, 5000, 5001), (5000...5000, 32768, 60998), (nil, 32768, 60998),
    ] as [(ClosedRange<UInt16>?, UInt16, UInt16)])
  func sourcePortsAreTheKernels(range: ClosedRange<UInt16>?, low: UInt16, high: UInt16) throws {
    let tunnel = try resolved { device, _ in device.vxlan!.portRange = range }
    #expect(tunnel.source_min == low && tunnel.source_max == high)
  }

  @Test func theHostsRangeMayHoldOnePort() throws {
    let tunnel = try resolved { _, underlay in underlay.localPortRange = 40000...40000 }
    #expect(tunnel.source_min == 40000 && tunnel.source_max == 40000)
  }

  @Test func thePathsMTUCounts() throws {
    let key = TunnelKey(remote: World().vtep, port: 4789, vni: 42)
    let tunnel = try resolved { _, underlay in underlay.routes[key.route]!.mtu = 1300 }
    #expect(tunnel.valid == 1 && tunnel.mtu == 1250)
  }

  /// As the kernel fills an IPv6 header: 20 bytes more, the interface's own MTU and hop limit, the device's flow label.
  @Test func overIPv6TheHeaderIsLongerAndTheInterfaceHasASay() throws {
    let vtep = IPAddress("2001:2:0:1::2")!
    let key = TunnelKey(remote: vtep, port: 4789, vni: 42)
    func resolved(_ change: (inout Link, inout UnderlayState) -> Void = { _, _ in }) throws -> culvert_tunnel6 {
      let world = World()
      var underlay = UnderlayState(uplink: 9)
      underlay.reset(
        links: [world.underlay.uplink!],
        neighbours: [Neighbour(link: 9, address: vtep, mac: MACAddress("02:00:00:00:09:02"), state: 2)])
      var route = try #require(try world.context.route(TunnelKey(remote: world.vtep, port: 4789, vni: 42).route))
      route.preferredSource = IPAddress("2001:2:0:1::1")
      underlay.routes[key.route] = route
      underlay.ipv6 = .init(hopLimit: 9, mtu: 1400)
      var device = Link.vx0
      device.vxlan!.local = nil
      device.vxlan!.isIPv6 = true
      device.vxlan!.flowLabel = 0xabcde
      change(&device, &underlay)
      return culvert_tunnel6(key, key.resolve(device: device, underlay: underlay), uplink: 9)
    }
    let tunnel = try resolved()
    #expect(tunnel.valid == 1 && tunnel.mtu == 1330 && tunnel.ttl == 9 && tunnel.remoteAddress == vtep)
    #expect(UInt32(bigEndian: tunnel.label) == 0x600a_bcde && UInt32(bigEndian: tunnel.local.3) == 1)
    #expect(try resolved { _, underlay in underlay.routes[key.route]!.mtu = 1300 }.mtu == 1230)
    #expect(try resolved { _, underlay in underlay.routes[key.route]!.hopLimit = 7 }.ttl == 7)
    #expect(try resolved { device, _ in device.vxlan!.ttl = 3 }.ttl == 3)
    let unresolved = try resolved { _, underlay in underlay.routes[key.route]!.outInterface = 8 }
    #expect(unresolved.valid == 0 && unresolved.remoteAddress.isAny)
  }

  @Test func aRouteByAnotherInterfaceIsTheKernels() throws {
    let key = TunnelKey(remote: World().vtep, port: 4789, vni: 42)
    #expect(try resolved { _, underlay in underlay.routes[key.route]!.outInterface = 8 }.valid == 0)
  }

  @Test func aLookUpThatFailsLosesNoSlot() throws {
    var world = World()
    try world.announce(.fdb(.bridged(world.far, port: 2)))
    let table = ForwardingTable(sink: world.sink, tunnels: SlotPool(range: 0..<1))
    _ = world.overlay.apply(.fdb(.tunnelled(world.far, world.vtep)))
    world.routeFailure = RecordingSink.Full()
    #expect(throws: RecordingSink.Full.self) {
      try table.update(world.far, overlay: world.overlay, underlay: &world.underlay, context: world.context)
    }
    world.routeFailure = nil
    try table.update(world.far, overlay: world.overlay, underlay: &world.underlay, context: world.context)
    #expect(world.sink.entries[world.far]?.target == .remote(tunnel: 0))
  }

  @Test func aRouteThatNobodyUsedIsAskedForAgain() throws {
    var world = World()
    try world.learnFar()
    try world.announce(.fdbGone(.tunnelled(world.far, world.vtep)))
    let key = TunnelKey(remote: world.vtep, port: 4789, vni: 42).route
    world.underlay.routes[key]!.mtu = 700
    try world.learnFar()
    #expect(world.underlay.routes[key]!.mtu == nil)
  }
}
