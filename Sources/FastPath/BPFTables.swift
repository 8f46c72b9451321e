// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import CBPFObjects
import LinuxSystem
import Netlink
import PacketHeaders

/// The maps of bpf/lib/maps.h, which the programs of all overlays of an underlay share: their tables as the kernel's
/// side has them, and the counters. An overlay's part is its domain's.
final class BPFTables {
  private let embedded: culvert_bpf_object
  /// Maps alone.
  private let object: BPFObject
  private let config: culvert_config
  private let configure: (borrowing BPFObject) throws -> Void
  private let strict: Bool
  private let fdb: ForwardingMap
  private let ports: BPFMap<UInt32, culvert_port>
  private let outer: any OuterMaps
  private let vxlanPorts: BPFMap<UInt32, UInt64>
  /// Of the first program of ports.
  let portIndex: PortIndex
  /// The one that a port is found by.
  private var portIndices: [UInt32: PortIndex] = [:]
  private let counterMap: BPFMap<UInt32, culvert_counters>
  /// Above those that were ever taken into use.
  private var slotsInUse: UInt32 = 0
  private var counted: (bytes: [UInt64], takenAt: UInt64)?
  /// A change of it makes every CPU forget what it remembers of the tables.
  private let generationMap: BPFMap<UInt32, UInt64>
  private var generation: UInt64 = 0
  private var vnis: [UInt32: Set<VNIKey>] = [:]
  private var vteps: [UInt32: Set<IPAddress>] = [:]

  /// Sizes and makes the maps of a family of programs; none of these yet.
  convenience init(
    _ options: FastPathOptions, _ family: ProgramFamily,
    configure: @escaping (borrowing BPFObject) throws -> Void = { _ in }
  ) throws {
    try self.init(options, object: family.object, isIPv6: family.isIPv6, sizes: family.sizes) { object in
      try configure(object)
      try family.configure(object)
    }
  }

  /// Sizes and makes the maps; no program yet.
  /// - Parameters:
  ///   - isIPv6: the object's programs are of IPv6 underlays.
  ///   - sizes: of maps that only this object has.
  ///   - configure: sets further variables of each object that is loaded.
  init(
    _ options: FastPathOptions, object embedded: culvert_bpf_object, isIPv6: Bool = false, sizes: [String: UInt32] = [:],
    configure: @escaping (borrowing BPFObject) throws -> Void = { _ in }
  ) throws {
    var object = try BPFObject(name: String(cString: embedded.name), data: embedded.data, size: embedded.size)
    let buckets = ForwardingMap.buckets(for: options.entryCapacity)
    try object.resize("fdb", to: buckets)
    try object.resize("tunnels", to: ForwardingTable.tunnelCapacity)
    for map in ["ports", "devices", "counters"] {
      try object.resize(map, to: options.portCapacity)
    }
    try object.resize("vnis", to: 4096)
    try object.resize("vteps", to: options.strict ? ForwardingTable.tunnelCapacity : 1)
    for (map, size) in sizes { try object.resize(map, to: size) }
    for program in object.programNames { try object.skip(program: program) }
    try object.load()
    var config = culvert_config()
    config.hash_seed = .random(in: 0 ... .max)
    config.fdb_seed = .random(in: 0 ... .max)
    config.fdb_buckets = buckets
    self.embedded = embedded
    self.config = config
    self.configure = configure
    fdb = ForwardingMap(try ForwardingMapView(object, config), capacity: options.entryCapacity)
    ports = try object.map("ports")
    outer = isIPv6 ? try OuterMaps6(object) : try OuterMaps4(object)
    vxlanPorts = try object.map("vxlan_ports")
    portIndex = try PortIndex(object)
    counterMap = try object.map("counters")
    generationMap = try object.map("generation")
    self.object = object
    strict = options.strict
    try changed()
  }

  /// Of flows: which outer source port each has, and where identifications begin.
  var hashSeed: UInt64 { config.hash_seed }

  /// Loads programs over the maps: of ports, or of one uplink's slot.
  /// - Parameters:
  ///   - programs: those to load.
  ///   - group: another number for each program of ports.
  ///   - own: maps that are not shared.
  func load(
    _ programs: some Collection<String>, group: UInt32 = 0, uplink: UInt32 = 0, own: Set<String> = []
  ) throws -> BPFObject {
    var loaded = try BPFObject(name: String(cString: embedded.name), data: embedded.data, size: embedded.size)
    try loaded.shareMaps(of: object, except: own)
    for program in loaded.programNames where !programs.contains(program) { try loaded.skip(program: program) }
    var config = self.config
    config.group = group
    config.uplink = uplink
    try loaded.set("config", to: config)
    try configure(loaded)
    try loaded.load()
    return loaded
  }

  private func changed() throws {
    generation += 1
    try generationMap.update(0, generation)
  }

  func map<Key: BitwiseCopyable, Value: BitwiseCopyable>(_ name: String) throws -> BPFMap<Key, Value> {
    try object.map(name)
  }

  func descriptor(ofMap name: String) throws -> OwnedDescriptor { try object.descriptor(ofMap: name) }

  // MARK: - Ports

  /// Takes a slot into use: counters at zero, and a container's port found by its device's index.
  /// - Parameter index: of the port's program; nil: of the first.
  func open(
    _ link: Link, slot: UInt32, _ role: PortRole, flags: UInt32, relay: RelayPair? = nil,
    end: EnteredEnd? = nil, in index: PortIndex? = nil
  ) throws {
    try counterMap.updatePerCPU(slot, culvert_counters())
    slotsInUse = max(slotsInUse, slot + 1)
    try update(link, slot: slot, role, flags: flags, relay: relay, end: end)
    guard role != .uplink else { return }
    let index = index ?? portIndex
    try index.set(link.index, slot: slot)
    portIndices[slot] = index
  }

  /// - Parameters:
  ///   - relay: leads from a container's port to its uplink, in another namespace.
  ///   - end: the container's end, where it is entered.
  func update(
    _ link: Link, slot: UInt32, _ role: PortRole, flags: UInt32, relay: RelayPair? = nil,
    end: EnteredEnd? = nil
  ) throws {
    var port = culvert_port()
    port.ifindex = UInt32(link.index)
    port.mtu = min(link.mtu, end?.mtu ?? .max)
    port.domain = role.domain ?? 0
    port.flags = flags
    if let relay {
      port.relay_out = UInt32(relay.inside)
      port.relay_in = UInt32(relay.outside)
    }
    if let mac = role == .uplink ? link.mac : end?.mac { setOctets(&port.mac, mac) }
    try ports.update(slot, port)
    try changed()
  }

  /// None of it can fail for another reason than being gone already.
  func close(_ slot: UInt32) {
    portIndices.removeValue(forKey: slot)?.remove(slot: slot)
    try? ports.update(slot, culvert_port())
    try? changed()
  }

  // MARK: - Table

  func set(_ entry: ForwardingEntry, for mac: MACAddress, domain: UInt32) throws {
    try fdb.set(entry.nexthop, for: mac.forwardingKey(domain: domain))
    try changed()
  }

  func remove(_ mac: MACAddress, domain: UInt32) throws {
    fdb.remove(mac.forwardingKey(domain: domain))
    try changed()
  }

  func set(_ resolution: TunnelResolution, of key: TunnelKey, uplink: UInt32, slot: UInt32) throws {
    try outer.set(resolution, of: key, uplink: uplink, slot: slot)
  }

  func clearTunnel(slot: UInt32) throws { try outer.clearTunnel(slot: slot) }

  /// What of a received VNI is this domain.
  func setVNIs(_ keys: Set<VNIKey>, domain: UInt32) throws {
    let before = vnis[domain] ?? []
    let places = Set(keys.map(\.place))
    for key in before where !places.contains(key.place) { try outer.remove(key) }
    for key in keys.subtracting(before) {
      var flags = strict ? CULVERT_DOMAIN_STRICT.rawValue : 0
      if key.takesZeroChecksum { flags |= CULVERT_DOMAIN_ZERO_CHECKSUM.rawValue }
      try outer.add(key, culvert_domain(domain: domain, flags: flags))
    }
    vnis[domain] = keys.isEmpty ? nil : keys
    for port in Set(before.union(keys).map(\.port)) { try hear(port) }
    try changed()
  }

  /// A UDP port is VXLAN's as long as a domain is heard there.
  private func hear(_ port: UInt16) throws {
    let bit: UInt64 = 1 << UInt64(port % 64)
    let before = try vxlanPorts.lookup(UInt32(port / 64)) ?? 0
    let isHeard = vnis.values.contains { $0.contains { $0.port == port } }
    let now = isHeard ? before | bit : before & ~bit
    if now != before { try vxlanPorts.update(UInt32(port / 64), now) }
  }

  func setVTEPs(_ remotes: Set<IPAddress>, domain: UInt32) throws {
    let before = vteps[domain] ?? []
    for remote in before.subtracting(remotes) { try outer.remove(vtep: remote, domain: domain) }
    for remote in remotes.subtracting(before) { try outer.add(vtep: remote, domain: domain) }
    vteps[domain] = remotes.isEmpty ? nil : remotes
    try changed()
  }

  func reader(domain: UInt32) -> TableReader { TableReader(fdb.view, outer, domain: domain) }

  // MARK: - Counters

  /// The bytes that each slot has counted, by slot, as they were at most `age` nanoseconds ago: looked up once for all overlays
  /// of the underlay.
  func countedBytes(age: UInt64) throws -> [UInt64] {
    let now = Clock.monotonicNanoseconds
    if let counted, now - counted.takenAt < age { return counted.bytes }
    let words = MemoryLayout<culvert_counters>.offset(of: \.bytes)! / 8..<MemoryLayout<culvert_counters>.size / 8
    let bytes = try counterMap.sums(ofWords: words, first: Int(slotsInUse))
    counted = (bytes, now)
    return bytes
  }

  /// What the programs counted; what was lost later is for the tier to add.
  func counters(slot: UInt32) throws -> SlotCounters {
    var sum = SlotCounters()
    for cpu in try counterMap.perCPU(slot) ?? [] {
      withUnsafeBytes(of: cpu.packets) { packets in
        withUnsafeBytes(of: cpu.bytes) { bytes in
          let packets = packets.assumingMemoryBound(to: UInt64.self)
          let bytes = bytes.assumingMemoryBound(to: UInt64.self)
          for verdict in Verdict.allCases where packets[Int(verdict.rawValue)] > 0 {
            sum.packets[verdict, default: 0] += packets[Int(verdict.rawValue)]
            sum.bytes[verdict, default: 0] += bytes[Int(verdict.rawValue)]
          }
        }
      }
    }
    return sum
  }
}

/// A container's end of its veth that packets enter past the driver, which would look at these.
struct EnteredEnd: Equatable {
  var mac: MACAddress?
  var mtu: UInt32
  init(_ link: Link) { (mac, mtu) = (link.mac, link.mtu) }
}
