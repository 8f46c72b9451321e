// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import CBPFObjects
import Glibc
import LinuxSystem
import Netlink
import PacketHeaders

/// One routed overlay's fast path by tier `tc`: a VXLAN device that is no port of a bridge, and the containers behind the
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
  let tables: BPFTables
  let uplinkSlot: UInt32
  let devices: Box<BPFMap<UInt32, culvert_routed_device>>
  let connectionPolicy: Box<BPFMap<UInt32, culvert_connection_policy>>
  private let lock: OwnedDescriptor?
  let journal: JournalFile
  private let hasTCX: Bool
  let portProgram: RoleProgram
  let uplinkProgram: RoleProgram

  var vxlan: Link
  var uplink: Link
  var uplinkAttachment: TCAttachment?
  /// Why the kernel serves the overlay alone.
  var reasons: [String] = []
  /// Inside which packets are routed to the overlay, and for each why it is left to the kernel: none where it is served.
  var present: Set<InnerIP> = []
  var left: [InnerIP: [String]] = [:]
  var ports: [Int32: Port] = [:]
  let slots: SlotPool
  let tunnelSlots = SlotPool(range: 0..<ForwardingTable.tunnelCapacity)
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

  /// With `--policy connections`, while containers of the overlay have addresses.
  var connections: [InnerIP: ConnectionPolicy] = [:]
  var reportedModes: [InnerIP: ConnectionPolicy.Mode] = [:]
  var routes: [InnerIP: [InterfaceRoute]] = [:]
  var routesDue: UInt64? = 0
  var routesNotBefore: UInt64 = 0

  static let domain: UInt32 = 1
  /// Nanoseconds between two looks at what is not announced.
  static let checkInterval: UInt64 = 500_000_000

  struct Address: Hashable {
    var domain: UInt32
    var mac: MACAddress
  }

  /// A container's port.
  struct Port {
    var link: Link
    /// The bridge that routes for it; nil where it is routed itself.
    var bridge: Int32?
    var slot: UInt32?
    var attachment: TCAttachment?
    var flags: UInt32 = 0
    /// The container's end, where it is entered.
    var end: EnteredEnd?
    var reason: String?
    var past = SlotCounters()
  }

  /// Whether `--overlay` names a VXLAN device that is routed to. Runs in the overlay's namespace.
  static func concerns(_ options: FastPathOptions) throws -> Bool {
    try RouteConnection().links().contains {
      $0.name == options.overlay && $0.kind == "vxlan" && $0.master == nil
    }
  }

  /// Finds, checks and locks everything; attaches nothing yet. Runs in the overlay's namespace.
  init(_ options: FastPathOptions, report: @escaping (String) -> Void) throws {
    guard options.tier == nil || options.tier == .tc else {
      throw Failure(
        "serve \(options.overlay) by tier", options.tier!.rawValue,
        advice: "\(options.overlay) is routed to, not a port of a bridge; only tier tc serves routed overlays.",
        status: .unavailable)
    }
    guard !options.strict else {
      throw Failure(
        "serve \(options.overlay) with", "--strict",
        advice: "A routed overlay is only ever decapsulated from VTEPs in its FDB.", status: .usage)
    }
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
    let identity = try NetworkNamespace.current().identity
    if options.isDryRun {
      // Nobody's, and never made.
      directory = RuntimeDirectory(path: "/run/culvert/plans/\(getpid())")
      lock = nil
    } else {
      directory = RuntimeDirectory(namespace: identity, bridge: vxlan.index)
      try directory.create()
      guard let start = Owner.startTime(of: getpid()) else { throw Failure("read", "/proc/\(getpid())/stat") }
      lock = try directory.lock(
        for: Owner(
          pid: getpid(), startTime: start, overlay: vxlan.name, namespace: options.namespace ?? "\(identity)"))
      EndRecord.clear(of: vxlan.name, in: identity)
    }
    journal = JournalFile(directory)
    if !options.isDryRun, let stale = Journal.read(directory) {
      let outcome = stale.restore()
      for line in outcome.lines { report(line) }
      try journal.adopt(outcome.owed)
    }
    hasTCX = TCXLink.isSupported() && !options.avoidsTCX
    underlay = UnderlayState(uplink: uplink.index)
    slots = SlotPool(range: UInt32(CULVERT_NO_PORT) + 2..<options.portCapacity)
    uplinkSlot = UInt32(CULVERT_NO_PORT) + 1
    do {
      let flags = try TCTier.decapsulationFlags()
      let checksumFlag = try TCTier.checksumFlag()
      let index = UInt32(vxlan.index)
      tables = try BPFTables(
        options, object: outerIP.isIPv6 ? culvert_bpf_routed6() : culvert_bpf_routed(), isIPv6: outerIP.isIPv6, sizes: ["routed_devices": options.portCapacity]
      ) { object in
        try object.set("decap_flags", to: flags)
        try object.set("exact_checksums", to: options.outerChecksum == .exact ? 1 as UInt64 : 0)
        try object.set("vxlan_ifindex", to: index)
        try object.set("ip6_checksum_flag", to: checksumFlag)
      }
      if options.policy == .connections {
        do {
          try ConntrackConnection.load()
          (portProgram, uplinkProgram) = try Self.programs(tables, "_connections", uplinkSlot, hasStubs: !hasTCX)
        } catch {
          throw Failure(
            "follow", "--policy connections",
            advice: "This kernel's programs cannot ask conntrack: \(Engine.oneLine(error)). Without it the kernel "
              + "forwards what its rules look at.",
            status: .unavailable)
        }
      } else {
        (portProgram, uplinkProgram) = try Self.programs(tables, "", uplinkSlot, hasStubs: !hasTCX)
      }
      devices = Box(try tables.map("routed_devices"))
      connectionPolicy = Box(try tables.map("connection_policy"))
      if !options.isDryRun { try directory.note(programs: programIDs) }
    } catch {
      if !options.isDryRun { directory.remove(unlessOwed: journal.journal) }
      throw error
    }
  }

  /// Of ports and of the uplink, each with the stub that a filter holds.
  private static func programs(
    _ tables: BPFTables, _ suffix: String, _ uplink: UInt32, hasStubs: Bool
  ) throws -> (port: RoleProgram, uplink: RoleProgram) {
    func load(_ role: String) throws -> RoleProgram {
      let (program, stub) = ("culvert_\(role)\(suffix)", hasStubs ? "culvert_stub_\(role)" : nil)
      let object = try tables.load(
        [program] + (stub.map { [$0] } ?? []), uplink: uplink, own: hasStubs ? ["attached"] : [])
      return try RoleProgram(object, program, stub: stub)
    }
    return (try load("port"), try load("uplink"))
  }

  var mode: String { hasTCX ? "tcx" : "clsact" }
  var obtained: String { "tc \(mode)" }
  var programIDs: Set<UInt32> { [portProgram.program.id, uplinkProgram.program.id] }

  // MARK: - Session

  func start() throws { try refresh() }

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

  var deadline: UInt64 { min(lookDue, connections.values.map(\.deadline).min() ?? .max) }
  private var lookDue: UInt64 { min(dirtyAt ?? .max, max(checkedAt &+ Self.checkInterval, pacing.notBefore)) }

  /// What the programs may take is said at once; which ports are served follows.
  private func modeChanged(_ ip: InnerIP) throws {
    try publishConnectionPolicy(ip)
    try refresh()
  }

  func tick(now: UInt64) throws {
    for (ip, followed) in connections where followed.deadline <= now {
      if try followed.tick(now: now) { try modeChanged(ip) }
    }
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
    releaseUplink()
    for index in Array(ports.keys) { release(index) }
    let lines = journal.restore()
    if !options.isDryRun { directory.remove(unlessOwed: journal.journal) }
    return lines
  }

  // MARK: - Report

  func status() throws -> Status {
    var counts = Status.Entries()
    for entry in entries.values {
      switch entry.target {
      case .local: counts.local += 1
      case .remote: counts.remote += 1
      case .kernel: counts.kernel += 1
      }
    }
    let reason = reasons.isEmpty ? nil : reasons.joined(separator: "; ")
    var all = [
      Status.Port(
        name: uplink.name, index: uplink.index, role: "uplink", tier: uplinkAttachment == nil ? nil : "tc",
        mode: uplinkAttachment == nil ? nil : mode, reason: uplinkAttachment == nil ? reason ?? "no port is served" : nil)
    ]
    for port in ports.values.sorted(by: { $0.link.index < $1.link.index }) {
      let served = port.slot != nil
      all.append(
        Status.Port(
          name: port.link.name, index: port.link.index, role: "container", tier: served ? "tc" : nil,
          mode: served ? mode : nil, reason: served ? nil : port.reason ?? reason))
    }
    let used = Dictionary(grouping: entries.values.compactMap { entry -> UInt32? in
      if case .remote(let slot) = entry.target { slot } else { nil }
    }, by: { $0 })
    let tunnels = self.tunnels.sorted { ($0.key.remote, $0.key.vni) < ($1.key.remote, $1.key.vni) }.map { key, tunnel in
      var why: String?
      if case .kernel(_, let text) = tunnel.resolution { why = text }
      return Status.Tunnel(
        remote: "\(key.remote)", port: key.port, vni: key.vni, entries: used[tunnel.slot]?.count ?? 0, reason: why)
    }
    return Status(
      pid: getpid(), state: "ready", namespace: directory.owner?.namespace ?? "", overlay: name, bridge: name,
      vxlan: name, vni: vxlan.vxlan?.vni ?? 0, uplink: uplink.name, tier: "tc", mode: mode, strict: false,
      ports: all, entries: counts, tunnels: tunnels, changes: [], outerChecksum: options.outerChecksum.rawValue,
      segmentChecksum: Status.segmentChecksum(options, .tc, vxlan.vxlan), policy: options.policy.rawValue,
      connections: Status.Connections(InnerIP.allCases.compactMap { connections[$0]?.counters }), left: leftInside)
  }

  func stats() throws -> Stats {
    let attached = uplinkAttachment != nil
    var all = [Stats.Port(uplink, attached ? .tc : nil, try tables.counters(slot: uplinkSlot))]
    for port in ports.values.sorted(by: { $0.link.index < $1.link.index }) {
      var counters = port.past
      if let slot = port.slot { counters.add(try tables.counters(slot: slot)) }
      all.append(Stats.Port(port.link, port.slot == nil ? nil : .tc, counters))
    }
    return Stats(overlay: name, namespace: directory.owner?.namespace ?? "", ports: all, workers: nil)
  }
}

extension NetlinkEvent {
  fileprivate var isOfRoutes: Bool { if case .routing = self { true } else { false } }
}
