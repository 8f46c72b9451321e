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
  var following = RouteFollowing()
  /// How far through the routes the check once a second is.
  var checkedRoutes = 0
  /// The addresses that this overlay's VXLAN is sent from, whether the host has them or not.
  var locals: Set<IPv4Address> = []
  /// Encapsulated packets when the next hops were last confirmed.
  var confirmedAt: UInt64 = 0

  /// What --bypass-policy overrides, as far as it was said.
  var overridden: Set<String> = []
  /// That redirection became too dear was said.
  var hasReportedRests = false

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

  /// What was asked for; of `auto`, what the uplink can do.
  private static func tier(
    _ options: FastPathOptions, _ place: OverlayPlace, _ report: (String) -> Void
  ) throws -> Tier {
    if let tier = options.tier { return tier }
    if options.mode == .generic { return .xdp }
    let automatic = try place.inUnderlay {
      AutomaticTier(uplink: place.uplink, features: try XDPFeatures.of(interface: place.uplink.index))
    }
    report("tier auto: \(automatic.tier.rawValue), since \(place.uplink.name): \(automatic.reason)")
    return automatic.tier
  }

  /// Finds, checks and locks everything; attaches nothing yet.
  init(_ options: FastPathOptions, report: @escaping (String) -> Void) throws {
    self.options = options
    self.report = report
    Overlays.restoreOrphans(report)
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
    EndRecord.clear(of: place.bridge.name, in: place.identity)
    if let stale = Journal.read(directory) {
      let outcome = stale.restore()
      for line in outcome.lines { report(line) }
      journal = outcome.owed
      try journal.save(directory)
    }
    overlay = OverlayState(bridge: place.bridge.index, vxlan: place.vxlan.index)
    underlay = UnderlayState(uplink: place.uplink.index)
    slots = SlotPool(range: UInt32(CULVERT_UPLINK_SLOT) + 1..<options.portCapacity)
    do {
      switch try Self.tier(options, place, report) {
      case .xdp: tier = try XDPTier(options, vxlanPort: place.vxlan.vxlan?.port ?? 4789, report: report)
      case .afxdp: tier = try AFXDPTier(options, place, report: report)
      case .tc: tier = try TCTier(options, place)
      }
    } catch {
      directory.remove(unlessOwed: journal)
      throw error
    }
    table = ForwardingTable(sink: tier)
  }

  /// Attaches to everything that may be served and fills the table.
  func start() throws {
    (tier as? TCTier)?.onFilter = { [unowned self] filter in
      journal.filters = (journal.filters ?? []).filter { $0 != filter } + [filter]
      try journal.save(directory)
    }
    try readKernel()
    try place.inUnderlay {
      let changed = try prepareUplink()
      try tier.attachUplink(place.uplink, endIsSeen: uplinkEnd != nil)
      let mode = tier.mode(slot: UInt32(CULVERT_UPLINK_SLOT))
      report("\(place.uplink.name): tier \(tier.tier.rawValue), \(mode), uplink\(changed)")
    }
    uplinkIsAttached = true
    try judge()
    try reconcilePorts()
    try publish()
    try tier.commit()
  }

  /// Lets go in the reverse order: no program sees a container's partial
  /// checksums after its offloads are back.
  /// Returns what was restored, and what could not be.
  @discardableResult
  func stop() -> [String] {
    for (index, port) in ports where port.slot != nil { release(index) }
    tier.detach(slot: UInt32(CULVERT_UPLINK_SLOT))
    uplinkIsAttached = false
    let outcome = journal.restore()
    for line in outcome.lines { report(line) }
    directory.remove(unlessOwed: outcome.owed)
    return outcome.lines
  }
}
