// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import CBPFObjects
import Glibc
import LinuxSystem
import Netlink
import PacketHeaders

/// One bridged overlay's fast path, or a bridge's without one, living on the agent's thread in the overlay's
/// namespace: the kernel's state in, the table's differences out to the underlay's maps.
final class Engine {
  let options: FastPathOptions
  let report: (String) -> Void
  let place: OverlayPlace
  let directory: RuntimeDirectory
  private let lock: OwnedDescriptor?
  let journal: JournalFile
  /// Shared with the other overlays that leave by the same namespace.
  let shared: Underlay
  let looks: NamespaceLooks
  /// nil of a bridge alone.
  let uplink: Uplink?
  let domain: UInt32
  let tables: DomainTables
  let table: ForwardingTable
  var tier: any PacketTier { shared.tier }

  var overlay: OverlayState
  var underlay: UnderlayState
  var policy = Policy()
  /// What `policy` follows from.
  var judgedBy: PolicyInputs?
  var ports: [Int32: ServedPort] = [:]
  /// Ports whose veth peer has a larger MTU than themselves.
  var narrowPorts: Set<Int32> = []
  var mtusMayHaveChanged = false
  var following = RouteFollowing()
  /// How often the kernel was asked for a route.
  var routesAsked = 0
  /// Announcements are not waited for while `isReadingPaused`.
  var reading = Pacing(longest: 5_000_000)
  var isReadingPaused = false
  /// The addresses that this overlay's VXLAN is sent from, whether the host has them or not.
  var locals: Set<IPAddress> = []
  /// Encapsulated packets when the next hops were last confirmed.
  var confirmedAt: UInt64 = 0

  /// What --bypass-policy overrides, as far as it was said.
  var overridden: Set<String> = []

  /// When traffic was last looked at, and whether there was any.
  var watchedAt: UInt64 = 0
  var isBusy = true
  /// When what is not announced was last looked at.
  var checkedAt = Clock.monotonicNanoseconds
  /// A veth peer may have another program than `facts` says.
  var endsMayHaveChanged = true
  var facts = PolicyFacts()

  /// That redirection became too slow was said.
  var hasReportedBackoff = false
  /// Whether the overlay as a whole was served when entries were last written.
  var wasServed = false
  /// Why this overlay has nothing for the uplink at present.
  var uplinkIdle: String?
  /// Whether the uplink was there for this overlay when entries were last written.
  var hadUplink = false
  private var notedPrograms: Set<UInt32> = []

  /// What was asked for; of `auto`, what the devices can do.
  private static func tier(
    _ options: FastPathOptions, _ place: OverlayPlace, _ report: (String) -> Void
  ) throws -> Tier {
    if let tier = options.tier ?? (options.mode == .generic ? .xdp : nil) {
      if let vxlan = place.vxlan, tier == .afxdp {
        try OverlayPlace.requireIPv4(vxlan, "an overlay of tier \(tier.rawValue)")
      }
      return tier
    }
    let automatic = AutomaticTier()
    report("tier auto: \(automatic.tier.rawValue), since \(automatic.reason)")
    return automatic.tier
  }

  /// Finds, checks and locks everything; attaches nothing yet. Runs in the overlay's namespace.
  init(_ options: FastPathOptions, _ underlays: Underlays, report: @escaping (String) -> Void) throws {
    self.options = options
    self.report = report
    looks = underlays.looks
    place = try OverlayPlace(options)
    if options.isDryRun {
      // Nobody's, and never made.
      directory = RuntimeDirectory(path: "/run/culvert/plans/\(getpid())")
      lock = nil
    } else {
      directory = RuntimeDirectory(namespace: place.identity, bridge: place.bridge.index)
      lock = try directory.take(place.bridge.name, named: options.namespace, in: place.identity)
    }
    journal = JournalFile(directory)
    if !options.isDryRun { try journal.takeOver(report) }
    overlay = OverlayState(bridge: place.bridge.index, vxlan: place.vxlan?.index)
    underlay = UnderlayState(uplink: place.uplink?.index)
    do {
      shared = try underlays.underlay(
        of: place, options, Self.tier(options, place, report), report: report)
      uplink = try place.uplink.map { [shared, place] in
        try shared.uplink(
          $0, for: place.bridge.name, in: options.namespace ?? "\(place.identity)", report: report)
      }
      domain = try shared.takeDomain()
    } catch {
      directory.remove(unlessOwed: journal.journal)
      throw error
    }
    tables = DomainTables(shared.tier, domain: domain, uplink: uplink?.slot ?? UInt32(CULVERT_NO_PORT))
    table = ForwardingTable(sink: tables, tunnels: shared.tunnels)
    do { try notePrograms() } catch {
      shared.give(backDomain: domain)
      directory.remove(unlessOwed: journal.journal)
      throw error
    }
  }

  /// Tells other processes which programs are ours.
  func notePrograms() throws {
    guard !options.isDryRun, tier.programIDs != notedPrograms else { return }
    notedPrograms = tier.programIDs
    try directory.note(programs: notedPrograms)
  }

  /// Attaches to everything that is to be served and fills the table.
  func start() throws {
    try readKernel()
    try judge()
    try reconcile()
    // What is refused at the start is the user's to know at once.
    if let uplink, let reason = uplink.backoff?.reason, let failure = uplink.failure {
      report("\(uplink.link.name): \(reason)")
      throw failure
    }
  }

  /// Gives back in the reverse order: no program sees a container's partial
  /// checksums after its offloads are back.
  /// Returns what was restored, and what could not be.
  @discardableResult
  func stop() -> [String] {
    try? tables.setVNIs([])
    for (index, port) in ports where port.slot != nil { release(index) }
    let lines = (uplink?.leave(domain: domain) ?? []) + journal.restore()
    for line in lines { report(line) }
    table.clear()
    shared.give(backDomain: domain)
    directory.remove(unlessOwed: journal.journal)
    return lines
  }
}
