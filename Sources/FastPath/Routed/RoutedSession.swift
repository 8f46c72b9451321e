// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import CBPFObjects
import Glibc
import LinuxSystem
import Netlink
import PacketHeaders

/// One routed overlay's fast path: a VXLAN device that is no port of a bridge, and the containers behind the
/// host's routing (flannel's shape: on a bridge; Calico's: a routed veth each). The kernel's own tables decide about
/// routes and neighbours when a packet is there; mirrored are the two kinds of FDB.
final class RoutedSession: OverlaySession {
  let name: String
  let directory: RuntimeDirectory
  let options: FastPathOptions
  /// The underlay's.
  let outerIP: InnerIP
  let report: (String) -> Void
  let connection: Box<RouteConnection>
  let monitor: Box<RouteMonitor>
  let rules = NetfilterReader()
  let encryption: Box<IPsecMonitor>?
  let journal: JournalFile
  let identity: NetworkNamespace.Identity
  /// This overlay's alone.
  let shared: Underlay
  let uplinkPort: Uplink
  var tier: any PacketTier { shared.tier }
  var tables: BPFTables { shared.tier.tables }
  let devices: Box<BPFMap<UInt32, culvert_routed_device>>
  let connectionPolicy: Box<BPFMap<UInt32, culvert_connection_policy>>
  private let lock: OwnedDescriptor?
  private var notedPrograms: Set<UInt32> = []

  var vxlan: Link
  var uplink: Link
  /// Why the kernel serves the overlay alone.
  var reasons: [String] = []
  /// Inside which packets are routed to the overlay, and for each why it is left to the kernel: none where it is served.
  var present: Set<InnerIP> = []
  var left: [InnerIP: [String]] = [:]
  var ports: [Int32: ServedPort] = [:]
  /// Domains of `fdb` by bridge; the VXLAN device's is the first.
  var domains: [Int32: UInt32] = [:]
  var tunnels: [TunnelKey: (slot: UInt32, resolution: TunnelResolution)] = [:]
  var entries: [Address: ForwardingEntry] = [:]
  var written: [Int32: culvert_routed_device] = [:]
  var underlay: UnderlayState
  /// When changed tables are to be read; nil where nothing has changed.
  var dirtyAt: UInt64?
  /// Reading the tables and the announcements of changes.
  var pacing = Pacing(longest: 100_000_000, allowance: 50_000_000)
  var isReadingPaused = false
  var following = RouteFollowing()
  /// Routes that the kernel has been asked for.
  var askedRoutes: Set<RouteKey> = []
  /// How often it was.
  var routesAsked = 0
  var sampledAt: UInt64 = 0
  var checkedAt: UInt64 = 0
  var confirmedAt: UInt64 = 0
  var unusedTunnels: Set<TunnelKey> = []
  /// When the containers' ends, and what ports had passed, were last looked at.
  var endsCheckedAt: UInt64 = 0
  var watchedAt: UInt64 = 0

  /// With `--policy connections`, while containers of the overlay have addresses.
  var connections: [InnerIP: ConnectionPolicy] = [:]
  var reportedModes: [InnerIP: ConnectionPolicy.Mode] = [:]
  var routes: [InnerIP: [InterfaceRoute]] = [:]
  var routesDue: UInt64? = 0
  var routesNotBefore: UInt64 = 0

  /// The VXLAN device's, in which routers are known.
  let overlayDomain: UInt32
  /// Nanoseconds between two looks at what is not announced.
  static let checkInterval: UInt64 = 500_000_000

  struct Address: Hashable {
    var domain: UInt32
    var mac: MACAddress
  }

  /// Whether `--overlay` names a VXLAN device that is routed to. Runs in the overlay's namespace.
  static func concerns(_ options: FastPathOptions) throws -> Bool {
    try RouteConnection().links().contains {
      $0.name == options.overlay && $0.kind == "vxlan" && $0.master == nil
    }
  }

  private static func require(_ tier: Tier, _ options: FastPathOptions) throws {
    guard tier != .afxdp else {
      throw Failure(
        "serve \(options.overlay) by tier", tier.rawValue,
        advice: "\(options.overlay) is routed to, not a port of a bridge; tiers tc and xdp serve routed overlays.",
        status: .unavailable)
    }
    guard !options.strict else {
      throw Failure(
        "serve \(options.overlay) with", "--strict",
        advice: "A routed overlay is only ever decapsulated from VTEPs in its FDB.", status: .usage)
    }
  }

  /// Finds, checks and locks everything; attaches nothing yet. Runs in the overlay's namespace.
  init(_ options: FastPathOptions, _ underlays: Underlays, report: @escaping (String) -> Void) throws {
    let tier = options.tier ?? (options.mode == .generic ? .xdp : AutomaticTier().tier)
    try Self.require(tier, options)
    self.options = options
    self.report = report
    monitor = Box(try RouteMonitor())
    connection = Box(try RouteConnection())
    encryption = try IPsecMonitor.open()
    vxlan = try connection.value.link(named: options.overlay)
    name = vxlan.name
    try OverlayPlace.requirePlain(vxlan)
    outerIP = vxlan.vxlan?.isIPv6 == true ? .v6 : .v4
    try monitor.value.followIPv6Routing()
    guard vxlan.peerNamespaceID == nil, options.uplinkNamespace == nil else {
      throw Failure(
        "serve", vxlan.name, advice: "Its uplink is in another namespace; of routed overlays that is not supported.",
        status: .unavailable)
    }
    uplink = try OverlayPlace.findUplink(vxlan, options, underlay: connection, overlay: connection)
    identity = try NetworkNamespace.current().identity
    if options.isDryRun {
      // Nobody's, and never made.
      directory = RuntimeDirectory(path: "/run/culvert/plans/\(getpid())")
      lock = nil
    } else {
      directory = RuntimeDirectory(namespace: identity, bridge: vxlan.index)
      lock = try directory.take(vxlan.name, named: options.namespace, in: identity)
    }
    journal = JournalFile(directory)
    if !options.isDryRun { try journal.takeOver(report) }
    underlay = UnderlayState(uplink: uplink.index)
    do {
      let family = try ProgramFamily.routed(tier, isIPv6: outerIP.isIPv6, over: vxlan.index, options)
      shared = try underlays.underlay(routed: family, options, tier, report: report)
      devices = Box(try shared.tier.tables.map("routed_devices"))
      connectionPolicy = Box(try shared.tier.tables.map("connection_policy"))
      do {
        if options.policy == .connections { try ConntrackConnection.load() }
        overlayDomain = try shared.takeDomain()
      } catch where options.policy == .connections {
        throw Failure(
          "follow", "--policy connections",
          advice: "This kernel's programs cannot ask conntrack: \(Engine.oneLine(error)). Without it the kernel "
            + "forwards what its rules look at.",
          status: .unavailable)
      }
      uplinkPort = try shared.uplink(uplink, for: name, in: options.namespace ?? "\(identity)", report: report)
      try notePrograms()
    } catch {
      if !options.isDryRun { directory.remove(unlessOwed: journal.journal) }
      throw error
    }
  }

  var obtained: String { "\(tier.tier.rawValue) \(tier.mode)" }
  var programIDs: Set<UInt32> { tier.programIDs }

  /// Tells other processes which programs are ours.
  func notePrograms() throws {
    guard !options.isDryRun, programIDs != notedPrograms else { return }
    notedPrograms = programIDs
    try directory.note(programs: notedPrograms)
  }

  // MARK: - Session

  func start() throws {
    try refresh()
    // What is refused at the start is the user's to know at once.
    if let reason = uplinkPort.backoff?.reason, let failure = uplinkPort.failure {
      report("\(uplink.name): \(reason)")
      throw failure
    }
  }

  var descriptors: [Int32] {
    (isReadingPaused ? [] : [monitor.value.descriptor]) + (encryption.map { [$0.value.descriptor] } ?? [])
      + connections.values.flatMap(\.descriptors)
  }

  func handle(readable descriptor: Int32) throws {
    var mayWait = false
    if descriptor == monitor.value.descriptor {
      var events: [NetlinkEvent] = []
      let reception = try monitor.value.receive(into: &events)
      if reception == .overrun { following.note(.everything) }
      for event in events { if case .routing(let change) = underlay.apply(event) { following.note(change) } }
      if reception == .overrun || events.contains(where: \.isOfRoutes) { routesChanged() }
      // What concerns a container may not.
      mayWait = events.allSatisfy(\.isOfRoutes)
    } else if let encryption, descriptor == encryption.value.descriptor {
      encryption.value.drain()
      return try refresh()
    } else if let (ip, followed) = connections.first(where: { $0.value.descriptors.contains(descriptor) }) {
      if try followed.handle(readable: descriptor) { try modeChanged(ip) }
      return
    }
    // A storm of changes is read once, not change by change.
    let soon = Clock.monotonicNanoseconds + 3_000_000
    dirtyAt = min(dirtyAt ?? .max, mayWait ? max(soon, pacing.notBefore) : soon)
    isReadingPaused = true
  }

  var deadline: UInt64 {
    min(
      lookDue, connections.values.map(\.deadline).min() ?? .max,
      watchesTraffic ? watchedAt &+ Self.trafficInterval : .max)
  }
  private var lookDue: UInt64 { min(dirtyAt ?? .max, max(checkedAt &+ Self.checkInterval, pacing.notBefore)) }

  /// What the programs may take is said at once; which ports are served follows.
  private func modeChanged(_ ip: InnerIP) throws {
    try publishConnectionPolicy(ip)
    endPauses()
    try refresh()
  }

  func tick(now: UInt64) throws {
    for (ip, followed) in connections where followed.deadline <= now {
      if try followed.tick(now: now) { try modeChanged(ip) }
    }
    if watchesTraffic { try watchTraffic(now: now) }
    guard now >= lookDue else { return }
    try refresh()
    try confirmNeighbours()
  }

  func resynchronise(because reason: String) throws {
    report("\(reason): reading the kernel's tables again")
    routesChanged()
    following.note(.everything)
    try refresh()
  }

  @discardableResult
  func stop() -> [String] {
    connections = [:]
    try? tables.setVNIs([], domain: overlayDomain)
    for index in Array(ports.keys) { detach(index) }
    let lines = uplinkPort.leave(domain: overlayDomain) + journal.restore()
    for line in lines { report(line) }
    shared.give(backDomain: overlayDomain)
    if !options.isDryRun { directory.remove(unlessOwed: journal.journal) }
    return lines
  }
}

extension NetlinkEvent {
  fileprivate var isOfRoutes: Bool { if case .routing = self { true } else { false } }
}
