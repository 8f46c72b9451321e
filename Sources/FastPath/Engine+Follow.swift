// SPDX-License-Identifier: Apache-2.0
import CBPFObjects
import LinuxSystem
import Netlink
import PacketHeaders

/// The kernel's state: dumped, then followed; what it changes is computed again.
extension Engine {
  /// Dumps everything, as at the start and after an overrun.
  func readKernel() throws {
    let links = try place.overlayConnection.value.links()
    overlay.reset(links: links, fdb: try place.overlayConnection.value.fdb())
    underlay.reset(
      links: place.isSplit ? try place.underlayConnection.value.links() : links,
      neighbours: try place.underlayConnection.value.neighbours())
    try readSysctls()
    try askRoutes()
  }

  /// Reads everything again: announcements were lost, or could not be followed.
  func resynchronise(because reason: String) throws {
    report("\(reason): reading the kernel's tables again")
    try readKernel()
    try requireDevices()
    try judge()
    try reconcile()
    try publish()
  }

  /// Applies announced changes and recomputes only what they touch: true where that is more than routes.
  @discardableResult
  func apply(_ events: [NetlinkEvent], fromUnderlay: Bool) throws -> Bool {
    var macs: Set<MACAddress> = []
    var devices = false
    var defaultDestination = false
    var changedPorts: Set<Int32> = []
    var nextHops: Set<IPAddress> = []
    var uplink = false
    var routing = false
    for event in events {
      if !fromUnderlay {
        // A port that comes back within the same batch is another device.
        if case .linkGone(let index, _) = event, ports[index] != nil { try drop(index) }
        switch overlay.apply(event) {
        case .none: break
        case .mac(let mac): macs.insert(mac)
        case .defaultDestination: defaultDestination = true
        case .port(let index): changedPorts.insert(index)
        case .devices: devices = true
        }
      }
      if fromUnderlay || !place.isSplit {
        let before = underlay.uplink
        defer { if underlay.uplink != before { uplink = true } }
        switch underlay.apply(event) {
        case .none: break
        case .nextHop(let address): nextHops.insert(address)
        case .uplink: uplink = true
        case .routing(let change):
          routing = true
          following.note(change)
        }
      }
    }
    if !fromUnderlay, events.contains(where: { tier.isOwnDevice($0, domain: domain) }) { try checkEnds() }
    if routing { try requireDevices() }
    if devices {
      try requireDevices()
      // The device's address and TOS are part of the question.
      following.note(.everything)
      try judge()
      try reconcile()
      try publish()
      return true
    }
    if uplink {
      try updateUplink()
      try table.updateTunnels(overlay: overlay, underlay: underlay)
    } else if !nextHops.isEmpty {
      let routes = table.tunnelsByRoute.keys.filter {
        underlay.nextHop(of: $0).map(nextHops.contains) == true
      }
      try table.updateTunnels(by: routes, overlay: overlay, underlay: underlay)
    }
    try askChangedRoutes()
    if !changedPorts.isEmpty {
      let verdictChanged = try judge()
      try reconcile()
      if verdictChanged {
        try publish()
        return true
      }
      for (mac, entry) in overlay.bridgeEntries where changedPorts.contains(entry.link) { macs.insert(mac) }
    }
    if defaultDestination { macs.formUnion(overlay.macsByDefault) }
    try update(macs)
    if overlay.takePopulationsChanged() { try reconcile() }
    if overlay.takeConfiguredVTEPsChanged() { try publishAddresses() }
    return uplink || defaultDestination || !(nextHops.isEmpty && changedPorts.isEmpty && macs.isEmpty)
  }

  func update(_ macs: some Collection<MACAddress>) throws {
    let context = self.context
    for mac in macs { try table.update(mac, overlay: overlay, underlay: &underlay, context: context) }
  }

  /// Deleted by their owner, the namespaces live on only as long as this process is in them.
  func checkNamespaces() throws {
    if place.isAbandoned(named: options.namespace, looks) {
      throw OverlayGone(device: "the namespace of \(place.bridge.name)")
    }
  }

  private func requireDevices() throws {
    let devices = [
      (place.bridge, overlay.bridge), (place.vxlan, overlay.vxlan), (place.uplink, underlay.uplink),
    ]
    for case (let device?, nil) in devices { throw OverlayGone(device: device.name) }
  }

  var context: TableContext {
    TableContext(
      slots: ports.compactMapValues { $0.reason == nil ? $0.slot : nil },
      overlayIsServed: overlayIsServed, route: { [unowned self] in try self.route(to: $0) })
  }

  /// The uplink's address and MTU, where it is attached.
  func updateUplink() throws {
    if let uplink, let link = underlay.uplink, link != uplink.link { try uplink.update(link) }
  }

  /// Writes what follows from the devices, then every entry.
  func publish() throws {
    try updateUplink()
    try publishAddresses()
    try table.updateAll(overlay: overlay, underlay: &underlay, context: context)
  }

  /// Packets that bypass the kernel do not make it confirm its neighbours. While some
  /// are encapsulated, a next hop gone stale is used, as a sent packet would (NTF_USE).
  func confirmNextHops() throws {
    let encapsulated = ports.values.reduce(0) { $0 + ($1.seen.packets[.forwardedEncapsulated] ?? 0) }
    defer { confirmedAt = encapsulated }
    guard encapsulated != confirmedAt else { return }
    var seen: Set<IPAddress> = []
    for key in table.tunnelsByRoute.keys {
      guard let nextHop = underlay.nextHop(of: key), seen.insert(nextHop).inserted,
        let neighbour = underlay.neighbours[nextHop], neighbour.isStale
      else { continue }
      try place.underlayConnection.value.useNeighbour(link: neighbour.link, nextHop)
    }
  }
}
