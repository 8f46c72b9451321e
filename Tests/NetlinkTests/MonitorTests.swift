// SPDX-License-Identifier: Apache-2.0
import Glibc
import LinuxSystem
import PacketHeaders
import TestSupport
import Testing

@testable import Netlink

@Suite(.enabled(if: mayUseKernel, Comment(rawValue: needsRoot)), .serialized)
struct MonitorTests {
  @Test func everyKindOfChangeIsAnnounced() throws {
    try NetworkNamespace.makeAnonymous().run {
      var monitor = try RouteMonitor()
      let route = try RouteConnection()
      try LinkTests.build(route)
      let vxlan = try route.link(named: "vx0").index
      let uplink = try route.link(named: "up0").index
      let port = try route.link(named: "va1").index
      let bridge = try route.link(named: "br0").index
      let entry = FDBRequest(
        link: vxlan, mac: mac("02:00:00:00:02:01"), table: .device, destination: .v4(v4("198.18.0.2")))
      try route.changeFDB(.add, entry)
      try route.changeFDB(.delete, entry)
      try route.changeNeighbour(.add, link: uplink, .v4(v4("198.18.0.2")), mac: mac("02:00:00:00:00:02"))
      try route.changeNeighbour(.delete, link: uplink, .v4(v4("198.18.0.2")), mac: nil)
      var isolated = BridgePortSettings()
      isolated.isolated = true
      try route.changeBridgePort(port, isolated)
      try route.setMaster(port, nil)
      try route.delete(link: vxlan)

      var events: [NetlinkEvent] = []
      #expect(try monitor.receive(into: &events) == .drained)
      var seen: Set<String> = []
      for event in events {
        switch event {
        case .link(let link) where link.index == vxlan && link.vxlan?.vni == 4097: seen.insert("link")
        case .linkGone(vxlan, name: "vx0"): seen.insert("linkGone")
        case .bridgePort(port, master: bridge, let attributes?) where attributes.isolated:
          seen.insert("isolated")
        case .bridgePort(port, master: nil, nil): seen.insert("left")
        case .fdb(let it) where it.mac == entry.mac && it.destination == entry.destination: seen.insert("fdb")
        case .fdbGone(let it) where it.mac == entry.mac: seen.insert("fdbGone")
        case .neighbour(let it) where it.link == uplink && it.isValid: seen.insert("neighbour")
        case .neighbourGone(let it) where it.link == uplink: seen.insert("neighbourGone")
        case .routing: seen.insert("routing")
        default: break
        }
      }
      let all = ["link", "linkGone", "isolated", "left", "fdb", "fdbGone", "neighbour", "routing"]
      #expect(Set(all).subtracting(seen).isEmpty, "\(seen.sorted())")
    }
  }

  @Test func changesOfAVethsPeerInAnotherNamespaceAreAnnounced() throws {
    let other = try TestNamespace()
    try NetworkNamespace.makeAnonymous().run {
      try sh("ip link add v0 type veth peer name eth0 netns \(other.path)")
      let port = try RouteConnection().link(named: "v0")
      let peer = ForeignLinkMonitor.Place(
        namespaceID: try #require(port.peerNamespaceID), index: try #require(port.peer))
      let monitor = try ForeignLinkMonitor.open()
      try sh("ip link set v0 mtu 1400")
      #expect(try monitor.value.receive() == .changed([]), "its own namespace's are the route monitor's")
      _ = try other.run { try sh("ip link set eth0 mtu 1400") }
      #expect(try monitor.value.receive() == .changed([peer]))
      _ = try other.run { try sh("ethtool -K eth0 tx off") }
      #expect(try monitor.value.receive() == .changed([peer]))
    }
  }

  @Test func manyChangesArriveInOrder() throws {
    try NetworkNamespace.makeAnonymous().run {
      let route = try RouteConnection()
      try LinkTests.build(route)
      let vxlan = try route.link(named: "vx0").index
      var monitor = try RouteMonitor()
      for i in 0..<6_000 {
        let entry = FDBRequest(
          link: vxlan, mac: MACAddress(value: 0x0200_0100_0000 + UInt64(i)), table: .device,
          destination: .v4(v4("198.18.0.2")))
        try route.changeFDB(.add, entry)
      }
      var events: [NetlinkEvent] = []
      while try monitor.receive(into: &events) == .more {}
      // Others (what the bridge learns by itself) may come in between.
      let addresses = events.compactMap {
        if case .fdb(let entry) = $0, entry.mac.value >> 24 == 0x02_0001 { entry.mac.value } else { nil }
      }
      let inOrder = addresses == (0..<6_000).map { 0x0200_0100_0000 + UInt64($0) }
      #expect(inOrder, "\(addresses.count) of 6000")
    }
  }

  @Test func anOverrunIsToldAndRecoveredFrom() throws {
    try NetworkNamespace.makeAnonymous().run {
      let route = try RouteConnection()
      try LinkTests.build(route)
      let vxlan = try route.link(named: "vx0").index
      var monitor = try RouteMonitor(receiveBufferBytes: 4_096)
      func change(_ i: Int) throws {
        let entry = FDBRequest(
          link: vxlan, mac: MACAddress(value: 0x0200_0100_0000 + UInt64(i)), table: .device,
          destination: .v4(v4("198.18.0.2")))
        try route.changeFDB(.add, entry)
      }
      for i in 0..<200 { try change(i) }
      var events: [NetlinkEvent] = []
      #expect(try monitor.receive(into: &events) == .overrun)
      #expect(events.count < 200)
      events = []
      try change(200)
      #expect(try monitor.receive(into: &events) == .drained)
      #expect(
        events.contains { if case .fdb(let it) = $0 { it.mac.value == 0x0200_0100_00c8 } else { false } })
    }
  }

  @Test func itsDescriptorIsReadableWhenThereIsSomething() throws {
    try NetworkNamespace.makeAnonymous().run {
      var monitor = try RouteMonitor()
      var poll = pollfd(fd: monitor.descriptor, events: Int16(POLLIN), revents: 0)
      #expect(Glibc.poll(&poll, 1, 0) == 0)
      try RouteConnection().createBridge(LinkSettings("d0"))
      #expect(Glibc.poll(&poll, 1, 1000) == 1)
      var events: [NetlinkEvent] = []
      #expect(try monitor.receive(into: &events) == .drained)
      #expect(Glibc.poll(&poll, 1, 0) == 0)
    }
  }

  /// Subscribing, then dumping, then applying what was announced gives the kernel's
  /// table, whatever changed meanwhile.
  @Test func nothingIsLostBetweenDumpAndEvents() throws {
    let namespace = try NetworkNamespace.makeAnonymous()
    try namespace.run { try LinkTests.build(try RouteConnection()) }
    let route = try RouteConnection.open(in: namespace)
    let vxlan = try route.link(named: "vx0").index
    let there = try Self.changes(of: vxlan, in: namespace)

    var monitor = try RouteMonitor.open(in: namespace)
    func isMeant(_ entry: FDBEntry) -> Bool { entry.link == vxlan && entry.mac.value >> 24 == 0x02_0001 }
    var table: [MACAddress: IPAddress?] = [:]
    for entry in try route.fdb() where isMeant(entry) { table[entry.mac] = entry.destination }
    there.join()
    var events: [NetlinkEvent] = []
    while try monitor.receive(into: &events) == .more {}
    for event in events {
      switch event {
      case .fdb(let entry) where isMeant(entry): table[entry.mac] = entry.destination
      case .fdbGone(let entry) where isMeant(entry): table[entry.mac] = nil
      default: break
      }
    }
    var kernel: [MACAddress: IPAddress?] = [:]
    for entry in try route.fdb() where isMeant(entry) { kernel[entry.mac] = entry.destination }
    let isEqual = table == kernel
    #expect(isEqual, "\(table.count) entries followed, \(kernel.count) in the kernel")
    #expect(kernel.count > 20 && !events.isEmpty)
  }

  /// Random additions, replacements and deletions, on a thread of their own.
  private static func changes(
    of link: Int32, in namespace: borrowing NetworkNamespace
  ) throws -> DedicatedThread {
    let inside = try namespace.duplicate()
    let box = Box(inside)
    nonisolated(unsafe) let shared = box
    return try DedicatedThread {
      guard let route = try? RouteConnection.open(in: shared.value) else { return }
      var random = SplitMix(state: testSeed)
      for _ in 0..<6_000 {
        let entry = FDBRequest(
          link: link, mac: MACAddress(value: 0x0200_0100_0000 + .random(in: 0..<500, using: &random)),
          table: .device,
          destination: .v4(IPv4Address(value: 0xc612_0000 + .random(in: 2...4, using: &random))))
        // Deleting what is not there is refused: as good as any other change.
        try? route.changeFDB(Bool.random(using: &random) ? .replace : .delete, entry)
      }
    }
  }
}
