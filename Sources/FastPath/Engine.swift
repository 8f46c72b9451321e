// SPDX-License-Identifier: Apache-2.0
import BPFLoader
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
  var uplink: Port
  var slots: SlotPool
  var journal = Journal()
  var following = RouteFollowing()
  /// How far through the routes the check once a second is.
  var checkedRoutes = 0
  /// The addresses that this overlay's VXLAN is sent from, whether the host has them or not.
  var locals: Set<IPv4Address> = []
  /// Encapsulated packets when the next hops were last confirmed.
  var confirmedAt: UInt64 = 0

  /// What --bypass-policy overrides, as far as it was said.
  var overridden: Set<String> = []

  /// When traffic was last looked at.
  var watchedAt: UInt64 = 0
  /// When what is not announced was last looked at.
  var checkedAt = Clock.monotonicNanoseconds

  /// That redirection became too dear was said.
  var hasReportedBackoff = false
  /// Whether the overlay as a whole was served when entries were last written.
  var wasServed = false

  /// A device that the tier may attach to, and what became of it.
  struct Port {
    var link: Link
    /// nil while the kernel serves it alone.
    var slot: UInt32?
    var peer: VethPeer?
    /// Why the kernel serves it alone.
    var reason: String?
    var backoff: Backoff?
    var attachedAt: UInt64 = 0
    /// What it counted while it was attached before.
    var past = SlotCounters()
    /// What it had counted when traffic was last looked at.
    var seen = SlotCounters()
    init(_ link: Link) { self.link = link }
  }

  /// What was asked for; of `auto`, what the devices can do.
  private static func tier(
    _ options: FastPathOptions, _ place: OverlayPlace, _ report: (String) -> Void
  ) throws -> Tier {
    if let tier = options.tier { return tier }
    if options.mode == .generic { return .xdp }
    let automatic = try AutomaticTier(overlay: place.bridge.name, isSplit: place.isSplit)
    report("tier auto: \(automatic.tier.rawValue), since \(automatic.reason)")
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
    uplink = Port(place.uplink)
    slots = SlotPool(range: UInt32(CULVERT_UPLINK_SLOT) + 1..<options.portCapacity)
    do {
      switch try Self.tier(options, place, report) {
      case .xdp: tier = try XDPTier(options, vxlanPort: place.vxlan.vxlan?.port ?? 4789, report: report)
      case .afxdp: tier = try AFXDPTier(options, place, report: report)
      case .tc: tier = try TCTier(options, place)
      }
      try directory.note(programs: tier.programIDs)
    } catch {
      directory.remove(unlessOwed: journal)
      throw error
    }
    table = ForwardingTable(sink: tier)
  }

  /// Attaches to everything that is to be served and fills the table.
  func start() throws {
    if let tier = tier as? TCTier {
      tier.onFilter = { [unowned self] filter in
        journal.filters = (journal.filters ?? []).filter { $0 != filter } + [filter]
        try journal.save(directory)
      }
      tier.onFilterRemoved = { [unowned self] filter in
        journal.filters = (journal.filters ?? []).filter { $0 != filter }
        try? journal.save(directory)
      }
    }
    try readKernel()
    try judge()
    try reconcile()
    // What is refused at the start is the user's to know at once.
    if let backoff = uplink.backoff, let failure = uplinkFailure {
      report("\(place.uplink.name): \(backoff.reason)")
      throw failure
    }
  }

  /// Why the uplink was refused last.
  var uplinkFailure: Failure?

  /// Gives back in the reverse order: no program sees a container's partial
  /// checksums after its offloads are back.
  /// Returns what was restored, and what could not be.
  @discardableResult
  func stop() -> [String] {
    for (index, port) in ports where port.slot != nil { release(index) }
    releaseUplink()
    let outcome = journal.restore()
    for line in outcome.lines { report(line) }
    directory.remove(unlessOwed: outcome.owed)
    return outcome.lines
  }
}
