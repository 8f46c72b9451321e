// SPDX-License-Identifier: Apache-2.0
import CBPFObjects
import LinuxSystem
import Netlink
import PacketHeaders

/// The kernel's state: dumped, then followed; what it changes is computed again.
extension Engine {
  /// A device without which there is nothing to carry.
  struct Gone: Error {
    var device: String
  }

  /// Dumps everything, as at the start and after an overrun.
  func readKernel() throws {
    let links = try place.overlayConnection.value.links()
    overlay.reset(links: links, fdb: try place.overlayConnection.value.fdb())
    underlay.reset(
      links: place.isSplit ? try place.underlayConnection.value.links() : links,
      neighbours: try place.underlayConnection.value.neighbours())
    // The device's own namespace has the say over source ports, the underlay's over TTL.
    let range = Sysctl.read("net/ipv4/ip_local_port_range")?.split(separator: "\t").compactMap { UInt16($0) }
    if let range, range.count == 2, range[0] <= range[1] { underlay.localPortRange = range[0]...range[1] }
    try place.inUnderlay {
      if let ttl = Sysctl.read("net/ipv4/ip_default_ttl").flatMap({ UInt8($0) }) { underlay.defaultTTL = ttl }
    }
    try askRoutes()
  }

  /// Reads everything again: announcements were lost, or could not be followed.
  func resynchronise(because reason: String) throws {
    report("\(reason): reading the kernel's tables again")
    try readKernel()
    try requireDevices()
    try judge()
    try reconcilePorts()
    try publish()
  }

  /// Applies announced changes and recomputes only what they touch.
  func apply(_ events: [NetlinkEvent], fromUnderlay: Bool) throws {
    var macs: Set<MACAddress> = []
    var devices = false
    var changedPorts: Set<Int32> = []
    var nextHops = false
    var routing = false
    for event in events {
      if !fromUnderlay {
        // A port that comes back within the same batch is another device.
        if case .linkGone(let index, _) = event, ports[index] != nil { try drop(index) }
        switch overlay.apply(event) {
        case .none: break
        case .mac(let mac): macs.insert(mac)
        case .port(let index): changedPorts.insert(index)
        case .devices: devices = true
        }
      }
      if fromUnderlay || !place.isSplit {
        switch underlay.apply(event) {
        case .none: break
        case .nextHop: nextHops = true
        case .routing: routing = true
        }
      }
    }
    if routing {
      try requireDevices()
      try askRoutes()
      try publishAddresses()
    }
    if devices {
      try requireDevices()
      try judge()
      try reconcilePorts()
      return try publish()
    }
    if nextHops {
      if let uplink = underlay.uplink { try tier.update(uplink, slot: UInt32(CULVERT_UPLINK_SLOT)) }
      try table.updateTunnels(overlay: overlay, underlay: underlay)
    }
    if !changedPorts.isEmpty {
      let verdictChanged = try judge()
      try reconcilePorts()
      if verdictChanged { return try publish() }
      for (mac, entry) in overlay.bridgeEntries where changedPorts.contains(entry.link) { macs.insert(mac) }
    }
    try update(macs)
    if overlay.takeConfiguredVTEPsChanged() { try publishAddresses() }
  }

  func update(_ macs: some Collection<MACAddress>) throws {
    let context = self.context
    for mac in macs { try table.update(mac, overlay: overlay, underlay: &underlay, context: context) }
  }

  private func requireDevices() throws {
    let devices = [
      (place.bridge, overlay.bridge), (place.vxlan, overlay.vxlan), (place.uplink, underlay.uplink),
    ]
    for (device, now) in devices where now == nil { throw Gone(device: device.name) }
  }

  /// Routes, addresses or rules changed: every remote VTEP in use is asked for again.
  private func askRoutes() throws {
    underlay.routes = [:]
    for remote in table.remotes { underlay.routes[remote] = try route(to: remote) }
    try table.updateTunnels(overlay: overlay, underlay: underlay)
  }

  /// Asks as the VXLAN device does (vxlan4_get_route), but for the source port, which
  /// differs by flow: a rule on that shows as none or as several next hops.
  private func route(to remote: IPv4Address) throws -> RouteDecision? {
    guard let config = overlay.vxlan?.vxlan else { return nil }
    var query = RouteQuery(to: remote)
    query.source = config.local
    query.outInterface = config.link
    query.protocolNumber = 17
    query.destinationPort = config.port
    if config.tos != 1 { query.tos = config.tos & 0x1c }
    return try place.underlayConnection.value.routeIfAny(query)
  }

  var context: TableContext {
    TableContext(
      slots: ports.compactMapValues { $0.reason == nil ? $0.slot : nil }, uplinkIndex: underlay.uplinkIndex,
      overlayIsServed: overlayIsServed, route: { [unowned self] in try self.route(to: $0) })
  }

  /// Writes what follows from the devices, then every entry.
  func publish() throws {
    if let uplink = underlay.uplink { try tier.update(uplink, slot: UInt32(CULVERT_UPLINK_SLOT)) }
    try publishAddresses()
    try table.updateAll(overlay: overlay, underlay: &underlay, context: context)
  }

  /// The addresses at which this overlay's VXLAN arrives, and who may send it.
  private func publishAddresses() throws {
    guard overlayIsServed, let config = overlay.vxlan?.vxlan else {
      return try tier.setVNIs([])
    }
    // First who may speak, then what is heard.
    if options.strict { try tier.setVTEPs(overlay.configuredVTEPs) }
    let locals: [IPv4Address]
    if let local = config.local {
      locals = [local]
    } else {
      locals = try place.underlayConnection.value.addresses().map(\.address)
    }
    try tier.setVNIs(Set(locals.map { VNIKey(vni: config.vni, local: $0, port: config.port) }))
  }

  /// Packets that bypass the kernel do not make it confirm its neighbours. While some
  /// are encapsulated, a next hop gone stale is used, as a sent packet would (NTF_USE).
  func confirmNextHops() throws {
    var encapsulated: UInt64 = 0
    for port in ports.values {
      guard let slot = port.slot else { continue }
      encapsulated += try tier.counters(slot: slot).packets[.forwardedEncapsulated] ?? 0
    }
    defer { confirmedAt = encapsulated }
    guard encapsulated != confirmedAt else { return }
    var seen: Set<IPAddress> = []
    for remote in table.remotes {
      let nextHop = underlay.routes[remote]?.gateway ?? .v4(remote)
      guard seen.insert(nextHop).inserted, let neighbour = underlay.neighbours[nextHop], neighbour.isStale
      else { continue }
      try place.underlayConnection.value.useNeighbour(link: neighbour.link, nextHop)
    }
  }
}
