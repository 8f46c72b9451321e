// SPDX-License-Identifier: Apache-2.0
import Netlink
import PacketHeaders

/// What the kernel knows about one overlay: its bridge, its VXLAN device and
/// their forwarding databases, as followed through rtnetlink(7). No I/O.
public struct OverlayState: Sendable {
  /// What an event changed, so that only that is computed again.
  public enum Change: Hashable, Sendable {
    case none
    case mac(MACAddress)
    /// A port came, went or changed.
    case port(Int32)
    /// Where the VXLAN device sends what it does not know.
    case defaultDestination
    /// The bridge or the VXLAN device itself.
    case devices
  }

  /// RTM_NEWNEIGH's key on a VXLAN device.
  public struct DeviceKey: Hashable, Sendable {
    public var device: Int32
    public var mac: MACAddress
    public var vni: UInt32
  }

  public let bridgeIndex: Int32
  /// nil: a bridge alone.
  public let vxlanIndex: Int32?
  public private(set) var links: [Int32: Link] = [:]
  /// The bridge's FDB without VLAN: MAC to port.
  public private(set) var bridgeEntries: [MACAddress: FDBEntry] = [:]
  /// The VXLAN device's unicast FDB: one destination each.
  public private(set) var remoteEntries: [DeviceKey: FDBEntry] = [:]
  /// Zero and multicast MACs hold lists of destinations.
  public private(set) var floodEntries: [DeviceKey: Set<FDBEntry>] = [:]

  private var configuredVTEPsChanged = false
  /// MACs that the bridge has behind each of its ports, its own addresses not counted.
  private var populations: [Int32: Int] = [:]
  private var populationsChanged = false

  func count(behind link: Int32) -> Int { populations[link] ?? 0 }

  /// Whether a MAC is known behind the VXLAN device.
  var hasRemotes: Bool { vxlanIndex.map { count(behind: $0) > 0 } ?? false }

  /// True once after the first MAC behind a port came, or the last went.
  mutating func takePopulationsChanged() -> Bool {
    defer { populationsChanged = false }
    return populationsChanged
  }

  private mutating func count(_ entry: FDBEntry?, _ difference: Int) {
    guard let entry, !entry.isPermanent else { return }
    let now = (populations[entry.link] ?? 0) + difference
    populations[entry.link] = now == 0 ? nil : now
    if now == 0 || (now == 1 && difference == 1) { populationsChanged = true }
  }

  /// True once after a change of the VTEPs that are configured rather than learned.
  mutating func takeConfiguredVTEPsChanged() -> Bool {
    defer { configuredVTEPsChanged = false }
    return configuredVTEPsChanged
  }

  /// Every VTEP that the device knows, with its port where that is not the device's.
  var vteps: Set<RemoteVTEP> {
    Set(
      (Array(floodEntries.values.joined()) + remoteEntries.values).compactMap { entry in
        entry.destination.map { RemoteVTEP(remote: $0, port: entry.port) }
      })
  }

  struct RemoteVTEP: Hashable {
    var remote: IPAddress
    var port: UInt16?
  }

  /// Destinations of flood lists and of entries that do not age.
  var configuredVTEPs: Set<IPAddress> {
    let configured =
      floodEntries.values.joined() + remoteEntries.values.filter { $0.isPermanent || $0.isStatic }
    return Set(configured.compactMap(\.destination).filter { !$0.isMulticast })
  }

  public init(bridge: Int32, vxlan: Int32?) {
    self.bridgeIndex = bridge
    self.vxlanIndex = vxlan
  }

  public var bridge: Link? { links[bridgeIndex] }
  public var vxlan: Link? { vxlanIndex.flatMap { links[$0] } }
  /// The bridge's ports other than the VXLAN device.
  public var ports: [Link] {
    links.values.filter { $0.master == bridgeIndex && $0.index != vxlanIndex }
  }

  public func remote(_ mac: MACAddress) -> FDBEntry? {
    vxlanIndex.flatMap { remoteEntries[DeviceKey(device: $0, mac: mac, vni: vxlan?.vxlan?.vni ?? 0)] }
  }

  /// Where the device sends a unicast frame whose destination it does not know, if that is one place: its entry
  /// for the zero MAC. With several it sends copies.
  public var defaultRemote: FDBEntry? {
    guard let vxlanIndex,
      let list = floodEntries[DeviceKey(device: vxlanIndex, mac: .zero, vni: vxlan?.vxlan?.vni ?? 0)],
      list.count == 1 else { return nil }
    return list.first
  }

  /// The MACs that lie behind the device and that only its default destination can reach.
  public var macsByDefault: [MACAddress] {
    bridgeEntries.values.filter { $0.link == vxlanIndex && remote($0.mac) == nil }.map(\.mac)
  }

  /// Every MAC that the bridge knows where to find.
  public var macs: some Sequence<MACAddress> { bridgeEntries.keys }

  /// Replaces everything by a dump, as after an overrun.
  public mutating func reset(links: [Link], fdb: [FDBEntry]) {
    self.links = [:]
    bridgeEntries = [:]
    populations = [:]
    populationsChanged = true
    remoteEntries = [:]
    floodEntries = [:]
    for link in links where concerns(link) { self.links[link.index] = link }
    for entry in fdb { _ = insert(entry) }
  }

  public mutating func apply(_ event: NetlinkEvent) -> Change {
    switch event {
    case .link(let link): return upsert(link)
    case .linkGone(let index, _):
      guard links.removeValue(forKey: index) != nil else { return .none }
      return index == bridgeIndex || index == vxlanIndex ? .devices : .port(index)
    case .bridgePort(let index, let master, let attributes):
      guard var link = links[index] else { return .none }
      let before = link
      if let attributes { link.bridgePort = attributes }
      link.master = master
      if link == before { return .none }
      if concerns(link) { links[index] = link } else { links[index] = nil }
      return index == vxlanIndex ? .devices : .port(index)
    case .fdb(let entry): return insert(entry)
    case .fdbGone(let entry): return remove(entry)
    case .neighbour, .neighbourGone, .routing: return .none
    }
  }

  private func concerns(_ link: Link) -> Bool {
    link.index == bridgeIndex || link.index == vxlanIndex || link.master == bridgeIndex
  }

  private mutating func upsert(_ link: Link) -> Change {
    let known = links[link.index]
    guard concerns(link) else {
      guard known != nil else { return .none }
      links[link.index] = nil
      return .port(link.index)
    }
    guard known != link else { return .none }
    links[link.index] = link
    return link.index == bridgeIndex || link.index == vxlanIndex ? .devices : .port(link.index)
  }

  private mutating func insert(_ entry: FDBEntry) -> Change {
    if entry.master == bridgeIndex || (entry.link == bridgeIndex && entry.isOfDevice) {
      // Without VLAN filtering the bridge looks up VLAN 0, which has no NDA_VLAN.
      guard (entry.vlan ?? 0) == 0 else { return .none }
      let before = bridgeEntries.updateValue(entry, forKey: entry.mac)
      guard before != entry else { return .none }
      count(before, -1)
      count(entry, 1)
      return .mac(entry.mac)
    }
    guard entry.isOfDevice, entry.link == vxlanIndex else { return .none }
    let key = deviceKey(entry)
    if entry.mac.isZero || entry.mac.isMulticast {
      // The same destination again, as with another state, is no second one.
      let others = floodEntries[key, default: []].filter { !$0.isSameDestination(as: entry) }
      floodEntries[key] = others.union([entry])
      configuredVTEPsChanged = true
      return entry.mac.isZero ? .defaultDestination : .none
    }
    let before = remoteEntries.updateValue(entry, forKey: key)
    guard before != entry else { return .none }
    if !entry.ages || before?.ages == false { configuredVTEPsChanged = true }
    return .mac(entry.mac)
  }

  private mutating func remove(_ entry: FDBEntry) -> Change {
    if entry.master == bridgeIndex || (entry.link == bridgeIndex && entry.isOfDevice) {
      guard (entry.vlan ?? 0) == 0 else { return .none }
      // Whatever port it names: the kernel moves a port's own MAC to the bridge
      // without an announcement before it deletes it there.
      guard let before = bridgeEntries.removeValue(forKey: entry.mac) else { return .none }
      count(before, -1)
      return .mac(entry.mac)
    }
    guard entry.isOfDevice, entry.link == vxlanIndex else { return .none }
    let key = deviceKey(entry)
    if entry.mac.isZero || entry.mac.isMulticast {
      configuredVTEPsChanged = true
      if var list = floodEntries[key] {
        list = list.filter { !$0.isSameDestination(as: entry) }
        floodEntries[key] = list.isEmpty ? nil : list
      }
      return entry.mac.isZero ? .defaultDestination : .none
    }
    guard let before = remoteEntries.removeValue(forKey: key) else { return .none }
    if !before.ages { configuredVTEPsChanged = true }
    return .mac(entry.mac)
  }

  private func deviceKey(_ entry: FDBEntry) -> DeviceKey {
    DeviceKey(
      device: entry.link, mac: entry.mac, vni: entry.sourceVNI ?? links[entry.link]?.vxlan?.vni ?? 0)
  }
}

extension FDBEntry {
  fileprivate var ages: Bool { !isPermanent && !isStatic }

  fileprivate func isSameDestination(as other: FDBEntry) -> Bool {
    destination == other.destination && port == other.port && vni == other.vni
      && outInterface == other.outInterface && nextHopID == other.nextHopID
  }
}
