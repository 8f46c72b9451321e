// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import CBPFObjects
import LinuxSystem
import Netlink
import PacketHeaders

/// The maps of bpf/lib/maps.h in one loaded object, whatever its programs: the table as the kernel's side
/// has it, and the counters.
final class BPFTables {
  private let object: BPFObject
  private let strict: Bool
  private let fdb: ForwardingMap
  private let ports: BPFMap<UInt32, culvert_port>
  private let tunnels: BPFMap<UInt32, culvert_tunnel>
  private let vniMap: BPFMap<culvert_vni_key, culvert_domain>
  private let vtepMap: BPFMap<culvert_vtep_key, UInt32>
  private let slotOfIndex: BPFMap<UInt32, UInt32>
  private let counterMap: BPFMap<UInt32, culvert_counters>
  /// A change of it makes every CPU forget what it remembers of the tables.
  private let generationMap: BPFMap<UInt32, UInt64>
  private var generation: UInt64 = 0
  private var vnis: Set<VNIKey> = []
  private var vteps: Set<IPv4Address> = []

  /// The one bridge domain of this object's overlay.
  private static let domain: UInt32 = 1

  /// Sizes and loads the object.
  /// - Parameters:
  ///   - sizes, variables: of what only this object has.
  init<Variable: BitwiseCopyable>(
    _ options: FastPathOptions, vxlanPort: UInt16, object embedded: culvert_bpf_object,
    sizes: [String: UInt32] = [:], variables: [String: Variable]
  ) throws {
    var object = try BPFObject(name: String(cString: embedded.name), data: embedded.data, size: embedded.size)
    let buckets = ForwardingMap.buckets(for: options.entryCapacity)
    try object.resize("fdb", to: buckets)
    try object.resize("tunnels", to: ForwardingTable.tunnelCapacity)
    for map in ["ports", "devices", "counters", "port_by_ifindex"] {
      try object.resize(map, to: options.portCapacity)
    }
    try object.resize("vnis", to: 4096)
    try object.resize("vteps", to: options.strict ? ForwardingTable.tunnelCapacity : 1)
    for (map, size) in sizes { try object.resize(map, to: size) }
    var config = culvert_config()
    config.domain = Self.domain
    config.udp_port = vxlanPort.bigEndian
    config.hash_seed = .random(in: 0 ... .max)
    config.fdb_seed = .random(in: 0 ... .max)
    config.fdb_buckets = buckets
    try object.set("config", to: config)
    for (name, value) in variables { try object.set(name, to: value) }
    try object.load()
    fdb = ForwardingMap(try ForwardingMapView(object, config), capacity: options.entryCapacity)
    ports = try object.map("ports")
    tunnels = try object.map("tunnels")
    vniMap = try object.map("vnis")
    vtepMap = try object.map("vteps")
    slotOfIndex = try object.map("port_by_ifindex")
    counterMap = try object.map("counters")
    generationMap = try object.map("generation")
    self.object = object
    strict = options.strict
    try changed()
  }

  private func changed() throws {
    generation += 1
    try generationMap.update(0, generation)
  }

  func program(_ name: String) throws -> BPFProgram { try object.program(name) }

  func map<Key: BitwiseCopyable, Value: BitwiseCopyable>(_ name: String) throws -> BPFMap<Key, Value> {
    try object.map(name)
  }

  func descriptor(ofMap name: String) throws -> OwnedDescriptor { try object.descriptor(ofMap: name) }

  // MARK: - Ports

  /// Takes a slot into use: counters at zero, and found by its device's index.
  func open(_ link: Link, slot: UInt32, flags: UInt32) throws {
    try counterMap.updatePerCPU(slot, culvert_counters())
    try update(link, slot: slot, flags: flags)
    // The uplink's index may be another device's in the overlay's namespace.
    if slot != UInt32(CULVERT_UPLINK_SLOT) { try slotOfIndex.update(UInt32(link.index), slot) }
  }

  func update(_ link: Link, slot: UInt32, flags: UInt32) throws {
    var port = culvert_port()
    port.ifindex = UInt32(link.index)
    port.mtu = link.mtu
    port.domain = Self.domain
    port.flags = flags
    if let mac = link.mac { setOctets(&port.mac, mac) }
    try ports.update(slot, port)
    try changed()
  }

  /// None of it can fail for another reason than being gone already.
  func close(_ slot: UInt32) {
    if let port = try? ports.lookup(slot), port.ifindex != 0 {
      _ = try? slotOfIndex.delete(port.ifindex)
    }
    try? ports.update(slot, culvert_port())
    try? changed()
  }

  // MARK: - Table

  func set(_ entry: ForwardingEntry, for mac: MACAddress) throws {
    try fdb.set(entry.nexthop, for: mac.forwardingKey(domain: Self.domain))
    try changed()
  }

  func remove(_ mac: MACAddress) throws {
    fdb.remove(mac.forwardingKey(domain: Self.domain))
    try changed()
  }

  func set(_ resolution: TunnelResolution, of key: TunnelKey, slot: UInt32) throws {
    try tunnels.update(slot, culvert_tunnel(key, resolution))
  }

  func clearTunnel(slot: UInt32) throws { try tunnels.update(slot, culvert_tunnel()) }

  func setVNIs(_ keys: Set<VNIKey>) throws {
    for key in vnis.subtracting(keys) { try vniMap.delete(culvert_vni_key(key)) }
    let flags = strict ? CULVERT_DOMAIN_STRICT.rawValue : 0
    for key in keys.subtracting(vnis) {
      try vniMap.update(culvert_vni_key(key), culvert_domain(domain: Self.domain, flags: flags))
    }
    vnis = keys
    try changed()
  }

  func setVTEPs(_ remotes: Set<IPv4Address>) throws {
    func key(_ remote: IPv4Address) -> culvert_vtep_key {
      culvert_vtep_key(domain: Self.domain, remote: remote.bigEndian)
    }
    for remote in vteps.subtracting(remotes) { try vtepMap.delete(key(remote)) }
    for remote in remotes.subtracting(vteps) { try vtepMap.update(key(remote), 1) }
    vteps = remotes
    try changed()
  }

  func reader() throws -> TableReader { try TableReader(fdb.view, object: object, domain: Self.domain) }

  // MARK: - Counters

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

extension culvert_vni_key {
  init(_ key: VNIKey) {
    self.init(
      vni_be: (key.vni << 8).bigEndian, local: key.local.bigEndian, udp_port: key.port.bigEndian, zero: 0)
  }
}
