// SPDX-License-Identifier: Apache-2.0
import PacketHeaders
import Testing

@testable import FastPath
@testable import Netlink

/// vxlan_xmit(): what the device does not know goes where its entry for the zero MAC says.
@Suite struct DefaultDestinationTests {
  func zero(_ vtep: String, outInterface: Int32? = nil, state: UInt16 = 0x80) -> FDBEntry {
    var entry = FDBEntry.tunnelled(.zero, IPAddress(vtep)!)
    entry.outInterface = outInterface
    entry.state = state
    return entry
  }

  func world(learning: Bool) throws -> World {
    var world = World()
    var device = Link.vx0
    device.vxlan!.learning = learning
    _ = world.overlay.apply(.link(device))
    try world.announce(.fdb(.bridged(world.far, port: 2)))
    return world
  }

  @Test func aSingleOneIsTaken() throws {
    var world = try world(learning: false)
    #expect(world.sink.entries[world.far] == nil, "without any the device drops")
    try world.announce(.fdb(zero("198.18.0.2", outInterface: 9)))
    #expect(
      world.sink.entries[world.far]
        == ForwardingEntry(target: .remote(tunnel: 0), refreshMilliseconds: 100_000))
    #expect(world.sink.tunnels[0]?.key == TunnelKey(remote: world.vtep, port: 4789, vni: 42, outInterface: 9))
    try world.announce(.fdbGone(zero("198.18.0.2", outInterface: 9)))
    #expect(world.sink.entries[world.far] == nil && world.sink.tunnels.isEmpty)
  }

  @Test func ofSeveralCopiesAreSent() throws {
    var world = try world(learning: false)
    try world.announce(.fdb(zero("198.18.0.2")))
    try world.announce(.fdb(zero("198.18.0.3")))
    #expect(world.sink.entries[world.far] == nil)
    try world.announce(.fdbGone(zero("198.18.0.3")))
    #expect(world.sink.entries[world.far] != nil)
    // Announced once more, with another state: still one.
    try world.announce(.fdb(zero("198.18.0.2", state: 2)))
    #expect(world.sink.entries[world.far] != nil)
  }

  @Test func anEntryOfItsOwnIsBetterAndAGroupIsNone() throws {
    var world = try world(learning: true)
    try world.announce(.fdb(zero("239.1.1.1")))
    #expect(world.sink.entries[world.far] == nil)
    try world.announce(.fdb(zero("198.18.0.2")))
    try world.announce(.fdb(.tunnelled(world.far, IPAddress("198.18.0.7")!)))
    #expect(world.sink.tunnels.values.map(\.key.remote) == [IPAddress("198.18.0.7")!])
  }

  @Test func aDeviceThatLearnsSeesAPacketFirst() throws {
    var world = try world(learning: true)
    var device = Link.vx0
    device.vxlan!.ageingSeconds = 30
    _ = world.overlay.apply(.link(device))
    try world.announce(.fdb(.bridged(world.far, port: 2, state: 0x40)))
    try world.announce(.fdb(zero("198.18.0.2")))
    #expect(world.sink.entries[world.far]?.refreshMilliseconds == 10_000, "it could not learn otherwise")
  }
}
