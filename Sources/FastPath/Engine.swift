// SPDX-License-Identifier: Apache-2.0
import CBPFObjects
import Glibc
import LinuxSystem
import Netlink
import PacketHeaders

/// One overlay's fast path, living on the event loop's thread in the overlay's
/// namespace: the kernel's state in, the table's differences out to the tier.
final class Engine {
  let options: FastPathOptions
  let report: (String) -> Void
  let place: OverlayPlace
  let directory: RuntimeDirectory
  private let lock: OwnedDescriptor
  let tier: any PacketTier
  let table: ForwardingTable

  var overlay: OverlayState
  var underlay: UnderlayState
  var facts = PolicyFacts()
  var policy = Policy()
  var ports: [Int32: Port] = [:]
  var slots: SlotPool
  var journal = Journal()
  var uplinkIsAttached = false
  /// The far end of an uplink that is a veth.
  var uplinkEnd: VethEnd?
  /// Why the uplink cannot be used for now.
  var uplinkObjection: String?
  var unseenUplinkEnd: String?

  /// A container's port and what became of it.
  struct Port {
    var link: Link
    /// nil while the kernel serves it alone.
    var slot: UInt32?
    var end: VethEnd?
    /// Why the kernel serves it, and whether that is a policy, which may be lifted.
    var reason: String?
    var isPolicy = false
  }

  /// Finds, checks and locks everything; attaches nothing yet.
  init(_ options: FastPathOptions, report: @escaping (String) -> Void) throws {
    self.options = options
    self.report = report
    Overlays.purge()
    place = try OverlayPlace(options)
    directory = RuntimeDirectory(namespace: place.identity, bridge: place.bridge.index)
    try directory.create()
    guard let start = Owner.startTime(of: getpid()) else {
      throw Failure("read", "/proc/\(getpid())/stat")
    }
    let predecessor = directory.owner
    lock = try directory.lock(
      for: Owner(
        pid: getpid(), startTime: start, overlay: place.bridge.name,
        namespace: options.namespace ?? "\(place.identity)"))
    if let predecessor, predecessor.pid != getpid() { unlink(predecessor.logPath) }
    if let stale = Journal.read(directory) {
      for line in stale.restore() { report(line) }
      try Journal().save(directory)
    }
    overlay = OverlayState(bridge: place.bridge.index, vxlan: place.vxlan.index)
    underlay = UnderlayState(uplink: place.uplink.index)
    slots = SlotPool(range: UInt32(CULVERT_UPLINK_SLOT) + 1..<options.portCapacity)
    switch options.tier {
    case .xdp: tier = try XDPTier(options, vxlanPort: place.vxlan.vxlan?.port ?? 4789, report: report)
    }
    table = ForwardingTable(sink: tier)
  }

  /// Attaches to everything that may be served and fills the table.
  func start() throws {
    try readKernel()
    try place.inUnderlay {
      try prepareUplink()
      try tier.attachUplink(place.uplink)
    }
    uplinkIsAttached = true
    try judge()
    try reconcilePorts()
    try publish()
  }

  /// Lets go in the reverse order: no program sees a container's partial
  /// checksums after its offloads are back.
  func stop() {
    for (index, port) in ports where port.slot != nil { release(index) }
    tier.detach(slot: UInt32(CULVERT_UPLINK_SLOT))
    uplinkIsAttached = false
    for line in journal.restore() { report(line) }
    directory.remove()
  }

  // MARK: - The kernel's state

  /// Dumps everything, as at the start and after an overrun.
  private func readKernel() throws {
    let links = try place.overlayConnection.value.links()
    overlay.reset(links: links, fdb: try place.overlayConnection.value.fdb())
    underlay.reset(
      links: place.isSplit ? try place.underlayConnection.value.links() : links,
      neighbours: try place.underlayConnection.value.neighbours())
    try askRoutes()
    try place.inUnderlay {
      if let ttl = Sysctl.read("net/ipv4/ip_default_ttl").flatMap({ UInt8($0) }) { underlay.defaultTTL = ttl }
      let range = Sysctl.read("net/ipv4/ip_local_port_range")?.split(separator: "\t").compactMap {
        UInt16($0)
      }
      if let range, range.count == 2, range[0] <= range[1] { underlay.localPortRange = range[0]...range[1] }
    }
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
    if routing { try askRoutes() }
    if devices || routing {
      try requireDevices()
      try judge()
      try reconcilePorts()
      try publish()
      return
    }
    if nextHops {
      if let uplink = underlay.uplink { try tier.update(uplink, slot: UInt32(CULVERT_UPLINK_SLOT)) }
      try table.updateTunnels(overlay: overlay, underlay: underlay)
    }
    if !changedPorts.isEmpty {
      try judge()
      try reconcilePorts()
      for (mac, entry) in overlay.bridgeEntries where changedPorts.contains(entry.link) { macs.insert(mac) }
    }
    let context = self.context
    for mac in macs { try table.update(mac, overlay: overlay, underlay: &underlay, context: context) }
  }

  /// Without its devices there is nothing to carry: the fast path ends, and says so.
  private func requireDevices() throws {
    let devices = [
      (place.bridge, overlay.bridge), (place.vxlan, overlay.vxlan), (place.uplink, underlay.uplink),
    ]
    for (device, now) in devices where now == nil {
      throw Gone(device: device.name)
    }
  }

  struct Gone: Error {
    var device: String
  }

  /// Routes, addresses or rules changed: every remote VTEP in use is asked for again.
  private func askRoutes() throws {
    underlay.routes = [:]
    for remote in table.remotes { underlay.routes[remote] = try route(to: remote) }
    try table.updateTunnels(overlay: overlay, underlay: underlay)
  }

  /// Looks again at what is not announced here (sysctls, netfilter, tc).
  func checkPolicy() throws {
    guard try judge() else { return }
    try reconcilePorts()
    try publish()
  }

  private func route(to remote: IPv4Address) throws -> RouteDecision? {
    let config = overlay.vxlan?.vxlan
    return try place.underlayConnection.value.routeIfAny(
      to: remote, outInterface: config?.link, source: config?.local)
  }

  /// True when the verdict changed.
  @discardableResult
  private func judge() throws -> Bool {
    facts = try PolicyFacts.gather(place)
    var judged = Policy.judge(overlay: overlay, underlay: underlay, facts: facts)
    if let unseenUplinkEnd { judged.uplink.append("\(unseenUplinkEnd)") }
    let next = options.bypassPolicy ? judged.bypassed() : judged
    guard next != policy else { return false }
    let before = policy
    policy = next
    for reason in policy.overlay where !before.overlay.contains(reason) {
      report("\(place.bridge.name): stays with the kernel: \(reason)")
    }
    for reason in policy.uplink where !before.uplink.contains(reason) {
      report("\(place.uplink.name): stays with the kernel: \(reason)")
    }
    if !options.bypassPolicy, !(policy.overlay + policy.uplink).isEmpty {
      report("  remove what could decide otherwise, or override with --bypass-policy")
    }
    if next.overlay.isEmpty, next.uplink.isEmpty, !(before.overlay + before.uplink).isEmpty {
      report("\(place.bridge.name): nothing else decides any more, carried again")
    }
    return true
  }

  /// False while nothing may be forwarded outside the kernel.
  var overlayIsServed: Bool {
    policy.overlay.isEmpty && policy.uplink.isEmpty && uplinkObjection == nil && overlay.bridge?.isUp == true
      && overlay.vxlan?.isUp == true && overlay.vxlan?.master == overlay.bridgeIndex
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
      try tier.setVNIs([])
      return
    }
    let locals: [IPv4Address]
    if let local = config.local {
      locals = [local]
    } else {
      locals = try place.underlayConnection.value.addresses().map(\.address)
    }
    try tier.setVNIs(Set(locals.map { VNIKey(vni: config.vni, local: $0, port: config.port) }))
    var configured: Set<IPv4Address> = []
    let lists = overlay.floodEntries.values.flatMap { $0 }
    for entry in lists + overlay.remoteEntries.values.filter({ $0.isPermanent || $0.isStatic }) {
      if case .v4(let remote)? = entry.destination, !remote.isMulticast { configured.insert(remote) }
    }
    try tier.setVTEPs(configured)
  }
}
