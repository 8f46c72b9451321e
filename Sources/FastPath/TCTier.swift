// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import CBPFObjects
import LinuxSystem
import Netlink
import PacketHeaders

/// Tier `tc`: the programs of bpf/tc.bpf.c, of routed overlays bpf/routed.bpf.c, or their siblings over IPv6, at the tc
/// ingress of uplinks and of containers' ports.
/// It works on skbs: offloads stay as they are, and nothing is changed at the containers' ends.
final class TCTier: PacketTier {
  let tier = Tier.tc
  let portEndFeatures: [String: Bool] = [:]
  let redirection = Redirection.none
  let tables: BPFTables
  let keepsSegments = true
  /// Ports, by domain, that are sent to by their drivers: an XDP program at the other end is to see what arrives.
  var sentByDriver: [UInt32: Set<Int32>] = [:]
  private let hasTCX: Bool
  private var programs: RolePrograms
  private var ports: [UInt32: Attached] = [:]
  /// The uplinks'.
  private let namespace: Box<NetworkNamespace>
  /// Of domains whose ports are in another namespace.
  private var relays: [UInt32: Relay] = [:]
  private var relayProgram: Box<BPFProgram>?

  private struct Attached {
    var role: PortRole
    var attachment: TCAttachment?
    /// The container's end, where it is entered.
    var end: EnteredEnd?
  }

  private struct Relay {
    var pair: RelayPair
    var entry: Journal.Relay
    var journal: JournalFile
    var links: [Box<TCXLink>] = []
  }

  /// - Parameters:
  ///   - uplinks: the namespace of the uplinks.
  init(_ options: FastPathOptions, _ family: ProgramFamily, uplinks: Box<NetworkNamespace>) throws {
    namespace = uplinks
    let flags = try Self.decapsulationFlags()
    tables = try BPFTables(options, family) { object in
      try object.set("decap_flags", to: flags)
      try object.set("exact_checksums", to: options.outerChecksum == .exact ? 1 as UInt64 : 0)
    }
    hasTCX = TCXLink.isSupported() && !options.avoidsTCX
    programs = RolePrograms(tables, suffix: family.suffix, hasStubs: !hasTCX)
  }

  var mode: String { hasTCX ? "tcx" : "clsact" }
  var programIDs: Set<UInt32> {
    programs.ids.union([relayProgram].compactMap { $0?.value.id })
  }

  func prepare(_ role: PortRole, slot: UInt32) throws { try programs.load(role, slot: slot) }

  func forget(_ role: PortRole, slot: UInt32) {
    programs.forget(role, slot: slot)
    if let domain = role.domain { sentByDriver[domain] = nil }
  }

  /// BPF_F_ADJ_ROOM_DECAP_L3_IPV4, _L3_IPV6 and _L4_UDP (linux/bpf.h of Linux 6.3, 6.3 and 7.1).
  static let innerIsIPv4: UInt32 = 1 << 7
  private static let innerIsIPv6: UInt32 = 1 << 8
  private static let clearTunnelMarks: UInt32 = 1 << 10

  /// Whether merged packets lose the tunnel's marks when they are decapsulated; without, datagrams stay with the kernel.
  static func clearsTunnelMarks() throws -> Bool {
    try decapsulationFlags() & UInt64(clearTunnelMarks) != 0
  }

  /// Of bpf_skb_adjust_room(), those that this kernel takes.
  static func decapsulationFlags() throws -> UInt64 {
    let embedded = culvert_bpf_probe()
    var object = try BPFObject(name: String(cString: embedded.name), data: embedded.data, size: embedded.size)
    try object.load()
    let program = try object.program("culvert_probe_decap")
    // Any IPv4 packet that is long enough.
    let packet = [UInt8](repeating: 0, count: 12) + [8, 0, 0x45] + [UInt8](repeating: 0, count: 113)
    return try [innerIsIPv4, innerIsIPv6, clearTunnelMarks].reduce(0) { flags, flag in
      try program.testRunSKB(packet, mark: flag).value == 1 ? flags | UInt64(flag) : flags
    }
  }

  /// BPF_F_IPV6 of bpf_l4_csum_replace() (Linux 6.16), where this kernel takes it; else 0.
  static func checksumFlag() throws -> UInt64 {
    let flag: UInt32 = 1 << 7
    let embedded = culvert_bpf_probe()
    var object = try BPFObject(name: String(cString: embedded.name), data: embedded.data, size: embedded.size)
    try object.load()
    let program = try object.program("culvert_probe_checksum")
    let packet = [UInt8](repeating: 0, count: 12) + [8, 0, 0x45] + [UInt8](repeating: 0, count: 113)
    return try program.testRunSKB(packet, mark: flag).value == 1 ? UInt64(flag) : 0
  }

  // MARK: - Devices

  func attach(_ link: Link, slot: UInt32, _ role: PortRole, endIsSeen: Bool, journal: JournalFile) throws {
    ports[slot] = Attached(role: role)
    do {
      if let domain = role.domain { try makeRelay(domain, journal) }
      let flags = flags(of: link, role)
      ports[slot]!.end = end(of: link, flags)
      let (program, index) = try programs.program(role, link, slot: slot)
      try tables.open(
        link, slot: slot, role, flags: flags, relay: relay(of: role), end: ports[slot]!.end, in: index)
      ports[slot]!.attachment = try TCAttachment(program, to: link, journal)
    } catch {
      detach(slot: slot)
      throw error
    }
  }

  func move(slot: UInt32, to journal: JournalFile) throws { try ports[slot]?.attachment?.move(to: journal) }

  /// Lists of whole packets cannot be cut up by what is left of their marks once the tunnel is taken off.
  func objection(toUplink link: Link) throws -> String? {
    guard try Ethtool().features(of: link.name)["rx-gro-list"]?.isOn == true else { return nil }
    return
      "rx-gro-list is on, and merges packets as this tier cannot take them apart; `ethtool -K \(link.name) rx-gro-list off`"
  }

  /// A veth into another namespace can be entered; what else there is, is sent to.
  private func flags(of link: Link, _ role: PortRole) -> UInt32 {
    let isSent = role.domain.flatMap { sentByDriver[$0]?.contains(link.index) } ?? false
    let mayEnter = link.kind == "veth" && link.peerNamespaceID != nil && !isSent
    return mayEnter ? CULVERT_PORT_ENTER.rawValue : 0
  }

  /// Who enters a container is taken for its device's own: what is for another address, or too long for it, goes by the
  /// port's driver. Asked from here, so that nothing keeps the container's namespace.
  private func end(of link: Link, _ flags: UInt32) -> EnteredEnd? {
    guard flags & CULVERT_PORT_ENTER.rawValue != 0, let peer = link.peer, let id = link.peerNamespaceID else {
      return nil
    }
    return (try? RouteConnection().link(index: peer, namespaceID: id)).map { EnteredEnd($0) }
  }

  /// A container may give its device another address, or another MTU.
  func recheck(_ link: Link, slot: UInt32) throws -> Bool {
    guard let port = ports[slot], end(of: link, flags(of: link, port.role)) != port.end else { return false }
    try update(link, slot: slot)
    return false
  }

  func update(_ link: Link, slot: UInt32) throws {
    guard let role = ports[slot]?.role else { return }
    let flags = flags(of: link, role)
    ports[slot]!.end = end(of: link, flags)
    try tables.update(link, slot: slot, role, flags: flags, relay: relay(of: role), end: ports[slot]!.end)
  }

  func detach(slot: UInt32) {
    var port = ports.removeValue(forKey: slot)
    port?.attachment?.detach()
    tables.close(slot)
    if let domain = port?.role.domain, !ports.values.contains(where: { $0.role.domain == domain }) {
      removeRelay(domain)
    }
  }

  // MARK: - Between namespaces

  private func relay(of role: PortRole) -> RelayPair? { role.domain.flatMap { relays[$0]?.pair } }

  /// With a domain's first port, in whose namespace it runs: where that is not the uplinks'.
  private func makeRelay(_ domain: UInt32, _ journal: JournalFile) throws {
    guard relays[domain] == nil, try NetworkNamespace.current().identity != namespace.value.identity else {
      return
    }
    if relayProgram == nil {
      relayProgram = Box(try tables.load(["culvert_relay"]).program("culvert_relay"))
    }
    let entry = Journal.Relay(
      namespaceInode: namespace.value.identity.inode,
      namespaceCookie: try namespace.value.run { NamespaceReference.currentCookie() },
      name: RelayPair.name(
        of: try NetworkNamespace.current().identity, bridge: journal.directory.bridgeIndex ?? 0))
    try journal.add(entry)
    do {
      let pair = try RelayPair.make(named: entry.name, to: namespace)
      relays[domain] = Relay(pair: pair, entry: entry, journal: journal)
      try attachRelay(domain, to: pair.inside)
      try namespace.value.run { try attachRelay(domain, to: pair.outside) }
    } catch {
      if relays[domain] == nil { journal.remove(entry) } else { removeRelay(domain) }
      throw error
    }
  }

  /// An end is Culvert's own: a filter goes with it.
  private func attachRelay(_ domain: UInt32, to index: Int32) throws {
    let (program, name) = (relayProgram!, relays[domain]!.pair.name)
    guard hasTCX else { return try TCFilter.add(program.value, to: index, interface: name) }
    relays[domain]!.links.append(
      Box(try TCXLink(attaching: program.value, to: UInt32(index), interface: name)))
  }

  /// No port names it any more.
  private func removeRelay(_ domain: UInt32) {
    guard let relay = relays.removeValue(forKey: domain) else { return }
    // What cannot be removed stays in the journal.
    if (try? relay.entry.undo()) != nil { relay.journal.remove(relay.entry) }
  }

  func objection(toDomain domain: UInt32) throws -> String? {
    try relays[domain]?.pair.objection(from: namespace)
  }

  func isOwnDevice(_ event: NetlinkEvent, domain: UInt32) -> Bool {
    guard let pair = relays[domain]?.pair else { return false }
    switch event {
    // The carrier tells when the other end is down.
    case .link(let link): return link.index == pair.inside && !link.hasCarrier
    case .linkGone(let index, _): return index == pair.inside
    default: return false
    }
  }

  /// A redirected skb that the device refuses is the device's own drop, which others cause too: not told.
  func counters(slot: UInt32) throws -> SlotCounters { try tables.counters(slot: slot) }
}
