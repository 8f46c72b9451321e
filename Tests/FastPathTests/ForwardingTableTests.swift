// SPDX-License-Identifier: Apache-2.0
import CBPFObjects
import PacketHeaders
import Testing

@testable import FastPath
@testable import Netlink

/// What the tier would hold: the table's differences, applied.
final class RecordingSink: TableSink {
  var entries: [MACAddress: ForwardingEntry] = [:]
  var tunnels: [UInt32: (key: TunnelKey, resolution: TunnelResolution)] = [:]
  var writes = 0
  var capacity = Int.max

  struct Full: Error {}

  func set(_ entry: ForwardingEntry, for mac: MACAddress) throws {
    guard entries[mac] != nil || entries.count < capacity else { throw Full() }
    if case .remote(let slot) = entry.target {
      #expect(tunnels[slot] != nil, "an entry must never name a tunnel that is not there")
    }
    entries[mac] = entry
    writes += 1
  }
  func remove(_ mac: MACAddress) { entries[mac] = nil }
  func set(_ resolution: TunnelResolution, of key: TunnelKey, slot: UInt32) {
    tunnels[slot] = (key, resolution)
  }
  func clearTunnel(slot: UInt32) {
    for entry in entries.values {
      #expect(entry.target != .remote(tunnel: slot), "a tunnel must go after the entries that name it")
    }
    tunnels[slot] = nil
  }
}

/// A bridge (1), a VXLAN device (2), a container's port (3) and an uplink (9).
struct World {
  var overlay = OverlayState(bridge: 1, vxlan: 2)
  var underlay = UnderlayState(uplink: 9)
  let sink = RecordingSink()
  let table: ForwardingTable
  var slots: [Int32: UInt32] = [3: 1]
  var isServed = true
  var routeFailure: RecordingSink.Full?
  let near = MACAddress("02:00:00:00:00:01")!
  let far = MACAddress("02:00:00:00:00:02")!
  let vtep = IPAddress("198.18.0.2")!

  init() {
    table = ForwardingTable(sink: sink)
    overlay.reset(links: [.br0, .vx0, .va1], fdb: [])
    underlay.reset(
      links: [.eth0],
      neighbours: [Neighbour(link: 9, address: vtep, mac: MACAddress("02:00:00:00:09:02"), state: 2)])
  }

  var context: TableContext {
    TableContext(
      slots: slots, overlayIsServed: isServed,
      route: { [routeFailure] key in
        if let routeFailure { throw routeFailure }
        return RouteDecision(
          type: 1, outInterface: key.outInterface == 0 ? 9 : key.outInterface, gateway: nil,
          preferredSource: IPAddress("198.18.0.1"), mtu: nil,
          hopLimit: nil, isMultipath: false, hasEncapsulation: false)
      })
  }

  mutating func announce(_ event: NetlinkEvent) throws {
    let macs: [MACAddress]
    switch overlay.apply(event) {
    case .mac(let mac): macs = [mac]
    case .defaultDestination: macs = overlay.macsByDefault
    default: return
    }
    for mac in macs { try table.update(mac, overlay: overlay, underlay: &underlay, context: context) }
  }

  mutating func learnNear() throws { try announce(.fdb(.bridged(near, port: 3))) }
  mutating func learnFar(_ vtep: IPAddress? = nil) throws {
    try announce(.fdb(.bridged(far, port: 2)))
    try announce(.fdb(.tunnelled(far, vtep ?? self.vtep)))
  }
}

extension Link {
  static func make(_ index: Int32, _ name: String, kind: String?, master: Int32? = nil) -> Link {
    Link(
      index: index, name: name, flags: 0x1_0001, mtu: 1450,
      mac: MACAddress(value: 0x0200_0000_0a00 + UInt64(index)),
      kind: kind, master: master, peer: nil, peerNamespaceID: nil, receiveQueues: 1, transmitQueues: 1,
      xdpAttached: 0, xdpProgramID: nil, qdisc: "noqueue", bridge: nil, bridgePort: nil, vxlan: nil)
  }
  static var br0: Link {
    var link = make(1, "br0", kind: "bridge")
    link.bridge = BridgeAttributes(
      ageingSeconds: 300, vlanFiltering: false, stpState: 0, nfCallIPTables: false, nfCallIP6Tables: false,
      nfCallARPTables: false)
    return link
  }
  static var vx0: Link {
    var link = make(2, "vx0", kind: "vxlan", master: 1)
    link.bridgePort = .forwarding
    link.vxlan = VXLANAttributes(
      vni: 42, port: 4789, portRange: nil, local: IPAddress("198.18.0.1"), isIPv6: false, group: nil,
      link: 9,
      ttl: 0, ttlInherit: false, tos: 0, df: 0, learning: true, ageingSeconds: 300, udpChecksum: false,
      extensions: [])
    return link
  }
  static var va1: Link {
    var link = make(3, "va1", kind: "veth", master: 1)
    link.bridgePort = .forwarding
    return link
  }
  static var eth0: Link {
    var link = make(9, "eth0", kind: nil)
    link.mtu = 1500
    return link
  }
}

extension BridgePortAttributes {
  static let forwarding = BridgePortAttributes(
    state: 3, learning: true, isolated: false, locked: false, hairpin: false, neighbourSuppression: false,
    vlanTunnel: false)
}

extension FDBEntry {
  static func bridged(_ mac: MACAddress, port: Int32, state: UInt16 = 2, vlan: UInt16? = nil) -> FDBEntry {
    FDBEntry(
      link: port, mac: mac, master: 1, vlan: vlan, state: state, flags: 0, extendedFlags: 0, destination: nil,
      port: nil, vni: nil, sourceVNI: nil, outInterface: nil, nextHopID: nil)
  }
  static func tunnelled(_ mac: MACAddress, _ vtep: IPAddress, port: UInt16? = nil, vni: UInt32? = nil)
    -> FDBEntry
  {
    FDBEntry(
      link: 2, mac: mac, master: nil, vlan: nil, state: 2, flags: 2, extendedFlags: 0, destination: vtep,
      port: port, vni: vni, sourceVNI: nil, outInterface: nil, nextHopID: nil)
  }
}

@Suite struct ForwardingTableTests {
  @Test func localEntryNamesThePortsSlot() throws {
    var world = World()
    try world.learnNear()
    #expect(
      world.sink.entries[world.near] == ForwardingEntry(target: .local(slot: 1), refreshMilliseconds: 100_000)
    )
  }

  @Test func remoteEntryNeedsBothTables() throws {
    var world = World()
    try world.announce(.fdb(.bridged(world.far, port: 2)))
    #expect(world.sink.entries[world.far] == nil)
    try world.announce(.fdb(.tunnelled(world.far, world.vtep)))
    #expect(
      world.sink.entries[world.far]
        == ForwardingEntry(target: .remote(tunnel: 0), refreshMilliseconds: 100_000))
    #expect(world.sink.tunnels[0]?.key == TunnelKey(remote: world.vtep, port: 4789, vni: 42))
    try world.announce(.fdbGone(.bridged(world.far, port: 2)))
    #expect(world.sink.entries[world.far] == nil)
    #expect(world.sink.tunnels.isEmpty)
  }

  @Test func replacedDestinationMovesTheEntryAndDropsTheOldTunnel() throws {
    var world = World()
    try world.learnFar()
    let third = IPAddress("198.18.0.3")!
    try world.announce(.fdb(.tunnelled(world.far, third)))
    #expect(world.sink.tunnels.count == 1)
    #expect(world.sink.tunnels.values.first?.key.remote == third)
  }

  @Test func migrationFromPortToTunnelAndBack() throws {
    var world = World()
    try world.learnNear()
    try world.announce(.fdb(.tunnelled(world.near, world.vtep)))
    try world.announce(.fdb(.bridged(world.near, port: 2)))
    #expect(world.sink.entries[world.near]?.target == .remote(tunnel: 0))
    try world.announce(.fdb(.bridged(world.near, port: 3)))
    #expect(world.sink.entries[world.near]?.target == .local(slot: 1))
  }

  @Test func entryWithItsOwnPortAndVNIIsHonoured() throws {
    var world = World()
    try world.announce(.fdb(.bridged(world.far, port: 2)))
    try world.announce(.fdb(.tunnelled(world.far, world.vtep, port: 8472, vni: 7)))
    #expect(world.sink.tunnels[0]?.key == TunnelKey(remote: world.vtep, port: 8472, vni: 7))
  }

  @Test func nextHopObjectAndForeignInterfaceAreTheKernels() throws {
    var world = World()
    var entry = FDBEntry.tunnelled(world.far, world.vtep)
    entry.nextHopID = 5
    try world.announce(.fdb(.bridged(world.far, port: 2)))
    try world.announce(.fdb(entry))
    #expect(world.sink.entries[world.far]?.target == .kernel(.passNextHopObject))
    entry.nextHopID = nil
    entry.outInterface = 77
    try world.announce(.fdb(entry))
    guard case .kernel(.passNotResolved, let why)? = world.sink.tunnels.values.first?.resolution else {
      Issue.record("an entry bound to another interface is served")
      return
    }
    #expect(why.contains("goes out of interface 77, not of eth0"))
  }

  @Test func permanentAndUnservedEntriesAreTheKernels() throws {
    var world = World()
    try world.announce(.fdb(.bridged(world.near, port: 3, state: 0x80)))
    #expect(world.sink.entries[world.near]?.target == .kernel(.passHost))
    world.slots = [:]
    try world.announce(.fdb(.bridged(world.near, port: 3)))
    #expect(world.sink.entries[world.near]?.target == .kernel(.passPolicy))
  }

  @Test func entriesOfAVLANAreIgnored() throws {
    var world = World()
    try world.announce(.fdb(.bridged(world.near, port: 3, vlan: 1)))
    #expect(world.sink.entries.isEmpty)
  }

  @Test func staticEntriesDoNotRefreshAndTheShorterAgeingCounts() throws {
    var world = World()
    try world.announce(.fdb(.bridged(world.near, port: 3, state: 0x40)))
    #expect(world.sink.entries[world.near]?.refreshMilliseconds == 0)
    var vxlan = Link.vx0
    vxlan.vxlan!.ageingSeconds = 30
    _ = world.overlay.apply(.link(vxlan))
    try world.learnFar()
    #expect(world.sink.entries[world.far]?.refreshMilliseconds == 10_000)
  }

  @Test func unresolvedNextHopIsTheKernelsUntilItIsResolved() throws {
    var world = World()
    world.underlay.reset(links: [.eth0], neighbours: [])
    try world.learnFar()
    guard case .kernel = world.sink.tunnels[0]!.resolution else {
      Issue.record("resolved without a neighbour")
      return
    }
    let neighbour = Neighbour(
      link: 9, address: world.vtep, mac: MACAddress("02:00:00:00:09:02"), state: 4)
    guard case .nextHop = world.underlay.apply(.neighbour(neighbour)) else {
      Issue.record("no change")
      return
    }
    try world.table.updateTunnels(overlay: world.overlay, underlay: world.underlay)
    guard case .ready(let header) = world.sink.tunnels[0]!.resolution else {
      Issue.record("not resolved")
      return
    }
    #expect(
      header.mtu == 1450 && header.ttl == 64 && header.sourcePorts == 32768...60999 && header.flags == 0)
  }

  @Test func anUnchangedEntryIsNotWrittenAgain() throws {
    var world = World()
    try world.learnNear()
    let writes = world.sink.writes
    try world.table.updateAll(overlay: world.overlay, underlay: &world.underlay, context: world.context)
    #expect(world.sink.writes == writes)
  }

  @Test func aFullMapLeavesTheEntryToTheKernelUntilThereIsRoom() throws {
    var world = World()
    world.sink.capacity = 1
    try world.learnNear()
    try world.learnFar()
    #expect(world.table.refused == [world.far])
    // What did not fit counts nowhere else.
    #expect(world.table.tunnels.count == 1 && world.table.entriesByTunnel.isEmpty)
    #expect(world.sink.entries[world.far] == nil)
    world.sink.capacity = 2
    try world.table.updateAll(overlay: world.overlay, underlay: &world.underlay, context: world.context)
    #expect(world.table.refused.isEmpty)
    #expect(world.table.entriesByTunnel.values.map { $0 } == [1])
    #expect(world.sink.entries[world.far] != nil)
  }

  @Test func resetForgetsWhatTheKernelNoLongerHas() throws {
    var world = World()
    try world.learnNear()
    try world.learnFar()
    world.overlay.reset(links: [.br0, .vx0, .va1], fdb: [.bridged(world.near, port: 3)])
    try world.table.updateAll(overlay: world.overlay, underlay: &world.underlay, context: world.context)
    #expect(Set(world.sink.entries.keys) == [world.near])
    #expect(world.sink.tunnels.isEmpty)
  }
}
