// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import Netlink
import PacketHeaders

/// Where differences of the table go: the BPF maps, or a test's dictionary.
protocol TableSink: AnyObject {
  /// Throws when the map refuses, as when it is full.
  func set(_ entry: ForwardingEntry, for mac: MACAddress) throws
  func remove(_ mac: MACAddress) throws
  func set(_ resolution: TunnelResolution, of key: TunnelKey, slot: UInt32) throws
  func clearTunnel(slot: UInt32) throws
}

/// The one table: what of the mirrored kernel state the fast path may act on.
/// It follows the state, MAC by MAC, and writes only differences to its sink.
final class ForwardingTable {
  /// Remote VTEPs (times port and VNI) that the overlays of an underlay can have.
  static let tunnelCapacity: UInt32 = 16_384

  private(set) var entries: [MACAddress: ForwardingEntry] = [:]
  private(set) var tunnels: [TunnelKey: Tunnel] = [:]
  /// Entries the sink refused; they stay with the kernel.
  private(set) var refused: Set<MACAddress> = []

  struct Tunnel {
    var slot: UInt32
    var users: Int
    var resolution: TunnelResolution
  }

  /// Entries by the slot of the tunnel that they name: of what the sink took, not of what the kernel has.
  var entriesByTunnel: [UInt32: Int] {
    entries.values.reduce(into: [:]) { count, entry in
      if case .remote(let slot) = entry.target { count[slot, default: 0] += 1 }
    }
  }

  private let sink: any TableSink
  private let pool: SlotPool
  private let clock: () -> UInt64

  init(
    sink: any TableSink, tunnels pool: SlotPool = SlotPool(range: 0..<tunnelCapacity),
    clock: @escaping () -> UInt64 = { Clock.monotonicNanoseconds }
  ) {
    self.sink = sink
    self.pool = pool
    self.clock = clock
  }

  /// The tunnels by the route that they take. These routes must be known.
  private(set) var tunnelsByRoute: [RouteKey: Set<TunnelKey>] = [:]

  /// Computes one MAC again. O(1).
  func update(_ mac: MACAddress, overlay: OverlayState, underlay: inout UnderlayState, context: TableContext)
    throws
  {
    let before = entries[mac]
    let key = remoteKey(of: mac, overlay: overlay, context: context)
    var after: ForwardingEntry?
    var taken: TunnelKey?
    if let key, let slot = try acquire(key, overlay: overlay, underlay: &underlay, context: context) {
      taken = key
      after = ForwardingEntry(
        target: .remote(tunnel: slot),
        refreshMilliseconds: refresh(of: mac, overlay: overlay, remote: true))
    } else if key != nil {
      after = ForwardingEntry(target: .kernel(.passNotResolved))
    } else {
      after = localEntry(of: mac, overlay: overlay, context: context)
    }
    defer { if let taken { users[mac] = taken } }
    let old = users.removeValue(forKey: mac)
    if before != after || refused.contains(mac) {
      if let after {
        do {
          try sink.set(after, for: mac)
          entries[mac] = after
          refused.remove(mac)
        } catch {
          // An entry that does not fit is the kernel's; a stale one must not stay.
          if before != nil { try sink.remove(mac) }
          entries[mac] = nil
          refused.insert(mac)
        }
      } else {
        if before != nil { try sink.remove(mac) }
        entries[mac] = nil
        refused.remove(mac)
      }
    }
    // Only now is no entry left that names the old tunnel.
    if let old { try release(old) }
  }

  /// Computes every MAC again, and forgets those the kernel no longer has. O(entries).
  func updateAll(overlay: OverlayState, underlay: inout UnderlayState, context: TableContext) throws {
    let gone = Set(entries.keys).union(refused).subtracting(overlay.macs)
    for mac in gone {
      try update(mac, overlay: overlay, underlay: &underlay, context: context)
    }
    for mac in overlay.macs {
      try update(mac, overlay: overlay, underlay: &underlay, context: context)
    }
    try updateTunnels(overlay: overlay, underlay: underlay)
  }

  /// Resolves every tunnel again, after a change of the uplink or of the device.
  func updateTunnels(overlay: OverlayState, underlay: UnderlayState) throws {
    try updateTunnels(by: tunnelsByRoute.keys, overlay: overlay, underlay: underlay)
  }

  /// Resolves the tunnels of these routes again, after a change of route or neighbour.
  func updateTunnels(by routes: some Sequence<RouteKey>, overlay: OverlayState, underlay: UnderlayState)
    throws
  {
    guard let device = overlay.vxlan else { return }
    for key in routes.lazy.flatMap({ self.tunnelsByRoute[$0] ?? [] }) {
      guard let tunnel = tunnels[key] else { continue }
      let resolution = key.resolve(device: device, underlay: underlay)
      guard resolution != tunnel.resolution else { continue }
      try sink.set(resolution, of: key, slot: tunnel.slot)
      tunnels[key]!.resolution = resolution
    }
  }

  /// Forgets everything: no port is left that could ask.
  func clear() {
    for mac in entries.keys { try? sink.remove(mac) }
    for (_, tunnel) in tunnels {
      try? sink.clearTunnel(slot: tunnel.slot)
      pool.give(back: tunnel.slot, now: clock())
    }
    (entries, tunnels, tunnelsByRoute, users, refused) = ([:], [:], [:], [:], [])
  }

  // MARK: - What the kernel would decide

  private var users: [MACAddress: TunnelKey] = [:]

  /// Behind which VTEP the bridge and the VXLAN device have the MAC; vxlan_xmit() takes the default destination
  /// for what the device does not know.
  private func remoteKey(of mac: MACAddress, overlay: OverlayState, context: TableContext) -> TunnelKey? {
    guard context.overlayIsServed, let entry = overlay.bridgeEntries[mac], !entry.isPermanent,
      entry.link == overlay.vxlanIndex, let config = overlay.vxlan?.vxlan,
      let remote = overlay.remote(mac) ?? overlay.defaultRemote, remote.nextHopID == nil,
      let address = remote.destination, !address.isMulticast, !address.isAny
    else { return nil }
    return TunnelKey(
      remote: address, port: remote.port ?? config.port, vni: remote.vni ?? config.vni,
      outInterface: remote.outInterface ?? 0)
  }

  private func localEntry(of mac: MACAddress, overlay: OverlayState, context: TableContext)
    -> ForwardingEntry?
  {
    guard let entry = overlay.bridgeEntries[mac] else { return nil }
    // Its own, and its ports': the VXLAN device's may be the bridge's.
    guard !entry.isPermanent else { return ForwardingEntry(target: .kernel(.passHost)) }
    if entry.link == overlay.vxlanIndex, overlay.remote(mac) == nil {
      // The bridge has it behind the device, the device does not know where: it floods.
      return nil
    }
    if context.overlayIsServed, entry.link == overlay.vxlanIndex {
      let isObject = overlay.remote(mac)?.nextHopID != nil
      return ForwardingEntry(target: .kernel(isObject ? .passNextHopObject : .passNotResolved))
    }
    guard context.overlayIsServed, let slot = context.slots[entry.link] else {
      return ForwardingEntry(target: .kernel(.passPolicy))
    }
    return ForwardingEntry(
      target: .local(slot: slot), refreshMilliseconds: refresh(of: mac, overlay: overlay, remote: false))
  }

  /// A third of the shortest ageing time that applies to the MAC's entries.
  private func refresh(of mac: MACAddress, overlay: OverlayState, remote: Bool) -> UInt32 {
    var ageing = Double.infinity
    if let entry = overlay.bridgeEntries[mac], !entry.isStatic, !entry.isPermanent,
      entry.flags & NeighbourFlags.externallyLearned == 0
    {
      ageing = overlay.bridge?.bridge?.ageingSeconds ?? 300
    }
    if remote, let config = overlay.vxlan?.vxlan, config.ageingSeconds > 0,
      overlay.remote(mac).map({ !$0.isStatic && !$0.isPermanent }) ?? config.learning
    {
      // Not there: a device that learns is to see a packet, so that it has an entry of its own.
      ageing = min(ageing, Double(config.ageingSeconds))
    }
    guard ageing.isFinite else { return 0 }
    return UInt32(clamping: max(1, Int(ageing * 1000 / 3)))
  }

  // MARK: - Tunnels

  private func acquire(
    _ key: TunnelKey, overlay: OverlayState, underlay: inout UnderlayState, context: TableContext
  ) throws -> UInt32? {
    if let tunnel = tunnels[key] {
      tunnels[key]!.users += 1
      return tunnel.slot
    }
    guard let device = overlay.vxlan else { return nil }
    // What was known of a route that nobody used may have changed meanwhile.
    if tunnelsByRoute[key.route] == nil { underlay.routes[key.route] = try context.route(key.route) }
    guard let slot = pool.take(now: clock()) else { return nil }
    let resolution = key.resolve(device: device, underlay: underlay)
    do {
      try sink.set(resolution, of: key, slot: slot)
    } catch {
      pool.give(back: slot, now: clock())
      throw error
    }
    tunnels[key] = Tunnel(slot: slot, users: 1, resolution: resolution)
    tunnelsByRoute[key.route, default: []].insert(key)
    return slot
  }

  private func release(_ key: TunnelKey) throws {
    guard let tunnel = tunnels[key] else { return }
    guard tunnel.users == 1 else {
      tunnels[key]!.users -= 1
      return
    }
    tunnels[key] = nil
    tunnelsByRoute[key.route]!.remove(key)
    if tunnelsByRoute[key.route]!.isEmpty { tunnelsByRoute[key.route] = nil }
    try sink.clearTunnel(slot: tunnel.slot)
    pool.give(back: tunnel.slot, now: clock())
  }
}

/// What the table needs to know of the tier that uses it.
struct TableContext {
  /// Slots of the ports that are attached and whose verdict nothing else could change.
  var slots: [Int32: UInt32]
  /// False while the bridge or the VXLAN device must stay with the kernel.
  var overlayIsServed: Bool
  /// The kernel's route towards a VTEP; nil where it has none.
  var route: (RouteKey) throws -> RouteDecision?
}

enum NeighbourFlags {
  /// NTF_EXT_LEARNED (linux/neighbour.h).
  static let externallyLearned: UInt8 = 0x10
}
