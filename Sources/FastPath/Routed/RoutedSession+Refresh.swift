// SPDX-License-Identifier: Apache-2.0
import CBPFObjects
import LinuxSystem
import Netlink
import PacketHeaders

/// The kernel's tables, read again whenever one of them changed; differences go to the maps.
extension RoutedSession {
  func refresh() throws {
    dirtyAt = nil
    isReadingPaused = false
    let start = Clock.monotonicNanoseconds
    checkedAt = start
    defer { pacing.worked(from: start, to: Clock.monotonicNanoseconds) }
    let links = try connection.value.links()
    guard let device = links.first(where: { $0.index == vxlan.index && $0.kind == "vxlan" }) else {
      throw OverlayGone(device: vxlan.name)
    }
    guard let out = links.first(where: { $0.index == uplink.index }) else { throw OverlayGone(device: uplink.name) }
    // Its address and TOS are part of the question.
    if vxlan != device || uplink != out { following.note(.everything) }
    vxlan = device
    if uplink != out { try uplinkPort.update(out) }
    uplink = out
    uplinkPort.check(now: start)
    let fdb = try connection.value.fdb()
    underlay.reset(links: links, neighbours: try connection.value.neighbours())
    readSysctls()
    let addresses = try addressesByIP()
    let containers = try containerPorts(links, addresses)
    let facts = try gather(containers, addresses)
    try readRoutes(now: checkedAt)
    present = present(addresses)
    let paths = InnerIP.allCases.map { (ip: $0, path: forwardPath($0, containers)) }
    for (ip, path) in paths { try followConnections(ip, path) }
    underlay.encryption = facts.policy.encryption
    judgeAloud(paths, to: vteps(fdb), facts)

    try followPorts(containers, facts.policy)
    let bridges = Dictionary(links.filter { $0.kind == "bridge" }.map { ($0.index, $0) }, uniquingKeysWith: { $1 })
    let isServed = reasons.isEmpty
    // What is heard first, so that nothing is decapsulated for ports that are about to go.
    if !isServed { try tables.setVNIs([], domain: overlayDomain) }
    try publish(wantedDevices(bridges, isServed: isServed))
    try publish(try wantedEntries(fdb, bridges, isServed: isServed))
    for index in Array(ports.keys) where !isServed || ports[index]!.reason != nil { release(index) }
    if isServed, ports.values.contains(where: { $0.slot != nil }), entries.values.contains(where: \.isRemote) {
      uplinkPort.use(domain: overlayDomain, journal)
    } else {
      try tables.setVNIs([], domain: overlayDomain)
      for line in uplinkPort.leave(domain: overlayDomain) { report(line) }
    }
    try tables.setVNIs(uplinkPort.isAttached ? try heardAt(addresses[outerIP]!) : [], domain: overlayDomain)
    try notePrograms()
  }

  /// What is new of it is said.
  private func judgeAloud(
    _ paths: [(ip: InnerIP, path: ForwardPath)], to vteps: [(remote: IPAddress, port: UInt16?)], _ facts: RoutedFacts
  ) {
    let before = (reasons, leftInside)
    judge(paths, to: vteps, facts)
    if before != (reasons, leftInside) { endPauses() }
    for reason in reasons where !before.0.contains(reason) { report("\(name): left to the kernel: \(reason)") }
    for (ip, reason) in leftInside ?? [:] where before.1?[ip] != reason {
      report("\(name): \(ip) inside is left to the kernel: \(reason)")
    }
  }

  // MARK: - Ports

  /// Veths into other namespaces, on a bridge that routes or routed themselves (proxy ARP or NDP, as Calico sets it).
  func containerPorts(
    _ links: [Link], _ addresses: [InnerIP: [InterfaceAddress]]
  ) throws -> [(link: Link, bridge: Link?)] {
    let overlayBridges = Set(links.filter { $0.kind == "vxlan" }.compactMap(\.master))
    let routing = Set(addresses.values.joined().map(\.link))
    return links.compactMap { link in
      guard link.kind == "veth", link.index != uplink.index, link.peerNamespaceID != nil else { return nil }
      if let bridge = link.master.flatMap({ master in links.first { $0.index == master && $0.kind == "bridge" } }) {
        return routing.contains(bridge.index) && !overlayBridges.contains(bridge.index) ? (link, bridge) : nil
      }
      let answers = ["ipv4/conf/\(link.name)/proxy_arp", "ipv6/conf/\(link.name)/proxy_ndp"]
      let isRouted = link.master == nil && answers.contains { Sysctl.read("net/\($0)") == "1" }
      return isRouted ? (link, nil) : nil
    }
  }

  // MARK: - What the maps are to hold

  private func wantedDevices(_ bridges: [Int32: Link], isServed: Bool) -> [Int32: culvert_routed_device] {
    guard isServed else { return [:] }
    var wanted: [Int32: culvert_routed_device] = [:]
    func device(_ kind: culvert_routed_kind, _ link: Link, domain: UInt32) -> culvert_routed_device {
      var device = culvert_routed_device()
      device.kind = kind.rawValue
      device.domain = domain
      if let mac = link.mac { setOctets(&device.mac, mac) }
      (device.left4, device.left6) = (verdict(.v4), verdict(.v6))
      return device
    }
    wanted[vxlan.index] = device(CULVERT_ROUTED_VXLAN, vxlan, domain: overlayDomain)
    for (index, port) in ports {
      guard let slot = port.slot, port.reason == nil else { continue }
      var one = device(CULVERT_ROUTED_PORT, port.link, domain: 0)
      one.slot = slot
      one.router = UInt32(index)
      if let bridge = port.bridge.flatMap({ bridges[$0] }) {
        let domain = domain(of: bridge.index)
        one = device(CULVERT_ROUTED_PORT, bridge, domain: domain)
        one.slot = slot
        one.router = UInt32(bridge.index)
        wanted[bridge.index] = device(CULVERT_ROUTED_BRIDGE, bridge, domain: domain)
      }
      wanted[index] = one
    }
    return wanted
  }

  /// Of packets with that IP inside; 0 where they are served.
  private func verdict(_ ip: InnerIP) -> UInt8 {
    guard let reasons = left[ip] else { return UInt8(Verdict.passRoute.rawValue) }
    return reasons.isEmpty ? 0 : UInt8(Verdict.passPolicy.rawValue)
  }

  private func domain(of bridge: Int32) -> UInt32 {
    if let known = domains[bridge] { return known }
    let next = overlayDomain + 1 + UInt32(domains.count)
    domains[bridge] = next
    return next
  }

  private func wantedEntries(
    _ fdb: [FDBEntry], _ bridges: [Int32: Link], isServed: Bool
  ) throws -> [Address: ForwardingEntry] {
    forgetChangedRoutes()
    guard isServed, let config = vxlan.vxlan else { return [:] }
    var wanted: [Address: ForwardingEntry] = [:]
    var lists: [MACAddress: [FDBEntry]] = [:]
    var used: Set<TunnelKey> = []
    for entry in fdb {
      if entry.link == vxlan.index, entry.isOfDevice {
        if !entry.mac.isZero, !entry.mac.isMulticast { lists[entry.mac, default: []].append(entry) }
      } else if let master = entry.master, let domain = domains[master], (entry.vlan ?? 0) == 0 {
        let address = Address(domain: domain, mac: entry.mac)
        guard !entry.isPermanent else {
          wanted[address] = ForwardingEntry(target: .kernel(.passHost))
          continue
        }
        guard let slot = ports[entry.link]?.slot, ports[entry.link]?.reason == nil else {
          wanted[address] = ForwardingEntry(target: .kernel(.passPolicy))
          continue
        }
        let ageing = bridges[master]?.bridge?.ageingSeconds ?? 300
        wanted[address] = ForwardingEntry(
          target: .local(slot: slot),
          refreshMilliseconds: entry.isStatic ? 0 : UInt32(clamping: max(1, Int(ageing * 1000 / 3))))
      }
    }
    for (mac, list) in lists {
      let address = Address(domain: overlayDomain, mac: mac)
      guard list.count == 1, let entry = list.first, entry.nextHopID == nil, let remote = entry.destination,
        !remote.isMulticast, !remote.isAny, entry.vni == nil || entry.vni == config.vni,
        // A device that learns is to see packets, so that its entries do not age.
        entry.isPermanent || entry.isStatic || !config.learning
      else {
        wanted[address] = ForwardingEntry(target: .kernel(.passNotResolved))
        continue
      }
      let key = TunnelKey(
        remote: remote, port: entry.port ?? config.port, vni: config.vni, outInterface: entry.outInterface ?? 0)
      used.insert(key)
      guard let slot = try resolve(key) else {
        wanted[address] = ForwardingEntry(target: .kernel(.passNotResolved))
        continue
      }
      wanted[address] = ForwardingEntry(target: .remote(tunnel: slot))
    }
    unusedTunnels = Set(tunnels.keys).subtracting(used)
    askedRoutes.formIntersection(used.map(\.route))
    return wanted
  }

  /// Where the device sends to, by its FDB.
  func vteps(_ fdb: [FDBEntry]) -> [(remote: IPAddress, port: UInt16?)] {
    fdb.compactMap { entry in
      guard entry.link == vxlan.index, entry.isOfDevice, let remote = entry.destination else { return nil }
      return (remote, entry.port)
    }
  }

  // MARK: - Differences

  private func publish(_ wanted: [Int32: culvert_routed_device]) throws {
    for index in written.keys where wanted[index] == nil { _ = try devices.value.delete(UInt32(index)) }
    for (index, device) in wanted where written[index].map({ !$0.isSame(as: device) }) ?? true {
      try devices.value.update(UInt32(index), device)
    }
    written = wanted
  }

  private func publish(_ wanted: [Address: ForwardingEntry]) throws {
    for address in entries.keys where wanted[address] == nil {
      try tables.remove(address.mac, domain: address.domain)
      entries[address] = nil
    }
    for (address, entry) in wanted where entries[address] != entry {
      try tables.set(entry, for: address.mac, domain: address.domain)
      entries[address] = entry
    }
    // Only now is no entry left that names them.
    for key in unusedTunnels {
      guard let tunnel = tunnels.removeValue(forKey: key) else { continue }
      try tables.clearTunnel(slot: tunnel.slot)
      shared.tunnels.give(back: tunnel.slot, now: Clock.monotonicNanoseconds)
    }
    unusedTunnels = []
  }

  private func readSysctls() {
    let range = Sysctl.read("net/ipv4/ip_local_port_range")?.split(separator: "\t").compactMap { UInt16($0) }
    if let range, range.count == 2, range[0] <= range[1] { underlay.localPortRange = range[0]...range[1] }
    if let ttl = Sysctl.read("net/ipv4/ip_default_ttl").flatMap({ UInt8($0) }) { underlay.defaultTTL = ttl }
    guard outerIP.isIPv6 else { return }
    let own = "net/ipv6/conf/\(uplink.name)"
    underlay.ipv6.hopLimit = Sysctl.read("\(own)/hop_limit").flatMap { UInt8($0) } ?? 64
    underlay.ipv6.mtu = Sysctl.read("\(own)/mtu").flatMap { UInt32($0) }
  }

  /// Packets that bypass the kernel do not make it confirm its neighbours: one gone stale is used, as a sent packet
  /// would (NTF_USE), while some are forwarded.
  func confirmNeighbours() throws {
    var forwarded: UInt64 = 0
    for slot in ports.values.compactMap(\.slot) + [uplinkPort.slot] {
      let packets = try tables.counters(slot: slot).packets
      for (verdict, count) in packets where verdict.verdictClass == .forwarded { forwarded += count }
    }
    defer { confirmedAt = forwarded }
    guard forwarded != confirmedAt else { return }
    let mine = Set(written.keys).union([uplink.index])
    for neighbour in try connection.value.neighbours() where neighbour.isStale && mine.contains(neighbour.link) {
      try? connection.value.useNeighbour(link: neighbour.link, neighbour.address)
    }
  }
}

extension ForwardingEntry {
  fileprivate var isRemote: Bool { if case .remote = target { true } else { false } }
}

extension culvert_routed_device {
  fileprivate func isSame(as other: Self) -> Bool {
    withUnsafeBytes(of: self) { one in withUnsafeBytes(of: other) { one.elementsEqual($0) } }
  }
}
