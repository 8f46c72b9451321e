// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import CBPFObjects
import Glibc
import LinuxSystem
import Netlink
import PacketHeaders

/// Tier `xdp`: the programs of bpf/xdp.bpf.c on the uplink and on the containers'
/// ports. Everything it holds (links, maps) goes with the process.
final class XDPTier: PacketTier {
  let tier = Tier.xdp
  let needsRawFrames = true
  var mode: String { xdpMode.description }
  private let object: BPFObject
  private let xdpMode: XDPMode
  private let strict: Bool
  private let portProgram: BPFProgram
  private let uplinkProgram: BPFProgram
  private let fdb: BPFMap<culvert_fdb_key, culvert_fdb_entry>
  private let ports: BPFMap<UInt32, culvert_port>
  private let tunnels: BPFMap<UInt32, culvert_tunnel>
  private let vniMap: BPFMap<culvert_vni_key, culvert_segment>
  private let vtepMap: BPFMap<culvert_vtep_key, UInt32>
  private let slotOfIndex: BPFMap<UInt32, UInt32>
  private let devices: BPFMap<UInt32, UInt32>
  private let counterMap: BPFMap<UInt32, culvert_counters>
  /// A change of it makes every CPU forget what it remembers of the tables.
  private let generationMap: BPFMap<UInt32, UInt64>
  private var generation: UInt64 = 0
  /// nil where the kernel cannot tell.
  private let failures: TransmitFailures?
  private var links: [UInt32: Box<XDPLink>] = [:]
  /// Slots whose device transmits frames of several buffers.
  private var multiBuffer: Set<UInt32> = []
  private var vnis: Set<VNIKey> = []
  private var vteps: Set<IPv4Address> = []

  /// The one layer 2 segment of this object's overlay.
  private static let segment: UInt32 = 1

  /// - Parameters:
  ///   - embedded: an object with the programs and the maps of bpf/lib.
  ///   - countsFailures: its frames leave by redirection.
  ///   - sizes, variables: of what only this object has.
  init(
    _ options: FastPathOptions, vxlanPort: UInt16, object embedded: culvert_bpf_object = culvert_bpf_xdp(),
    countsFailures: Bool = true, sizes: [String: UInt32] = [:], variables: [String: UInt32] = [:],
    report: (String) -> Void
  ) throws {
    var object = try BPFObject(name: String(cString: embedded.name), data: embedded.data, size: embedded.size)
    try object.resize("fdb", to: options.entryCapacity)
    try object.resize("tunnels", to: ForwardingTable.tunnelCapacity)
    for map in ["ports", "devices", "counters", "port_by_ifindex"] {
      try object.resize(map, to: options.portCapacity)
    }
    try object.resize("vnis", to: 4096)
    try object.resize("vteps", to: options.strict ? ForwardingTable.tunnelCapacity : 1)
    try object.set(
      "config",
      to: culvert_config(
        segment: Self.segment, udp_port: vxlanPort.bigEndian, zero: 0, hash_seed: .random(in: 0 ... .max)))
    for (map, size) in sizes { try object.resize(map, to: size) }
    for (name, value) in variables { try object.set(name, to: value) }
    try object.load()
    portProgram = try object.program("culvert_port")
    uplinkProgram = try object.program("culvert_uplink")
    fdb = try object.map("fdb")
    ports = try object.map("ports")
    tunnels = try object.map("tunnels")
    vniMap = try object.map("vnis")
    vtepMap = try object.map("vteps")
    slotOfIndex = try object.map("port_by_ifindex")
    devices = try object.map("devices")
    counterMap = try object.map("counters")
    generationMap = try object.map("generation")
    self.object = object
    xdpMode = options.mode
    strict = options.strict
    do {
      failures = countsFailures ? try TransmitFailures(capacity: options.portCapacity) : nil
    } catch {
      failures = nil
      report("transmission failures cannot be counted on this kernel: \(error)")
    }
    try changed()
  }

  /// Every change is in force at once.
  func commit() {}

  private func changed() throws {
    generation += 1
    try generationMap.update(0, generation)
  }

  // MARK: - Devices

  func attachUplink(_ link: Link) throws {
    try attach(uplinkProgram, link, slot: UInt32(CULVERT_UPLINK_SLOT))
  }

  func attachPort(_ link: Link, slot: UInt32) throws { try attach(portProgram, link, slot: slot) }

  private func attach(_ program: borrowing BPFProgram, _ link: Link, slot: UInt32) throws {
    let index = UInt32(link.index)
    try counterMap.updatePerCPU(slot, culvert_counters())
    // Where the kernel (before 6.3) does not say, only veth is known to transmit several buffers.
    let features = try XDPFeatures.of(interface: link.index)
    if features?.contains(.redirectTargetMultiBuffer) ?? (link.kind == "veth") {
      multiBuffer.insert(slot)
    } else {
      multiBuffer.remove(slot)
    }
    try update(link, slot: slot)
    try devices.update(slot, index)
    try failures?.follow(link, slot: slot)
    // The uplink's index may be another device's in the overlay's namespace.
    if slot != UInt32(CULVERT_UPLINK_SLOT) { try slotOfIndex.update(index, slot) }
    do {
      links[slot] = Box(try XDPLink(attaching: program, to: index, interface: link.name, mode: xdpMode))
    } catch {
      clear(slot)
      throw error
    }
  }

  func update(_ link: Link, slot: UInt32) throws {
    var port = culvert_port()
    port.ifindex = UInt32(link.index)
    port.mtu = link.mtu
    port.segment = Self.segment
    port.flags = multiBuffer.contains(slot) ? CULVERT_PORT_MULTI_BUFFER.rawValue : 0
    if let mac = link.mac { setOctets(&port.mac, mac) }
    try ports.update(slot, port)
    try changed()
  }

  func detach(slot: UInt32) {
    links[slot] = nil
    clear(slot)
  }

  /// A device that has vanished took its entry of `devices` along; none of these
  /// can fail for another reason than being gone already.
  private func clear(_ slot: UInt32) {
    if let port = try? ports.lookup(slot), port.ifindex != 0 {
      _ = try? slotOfIndex.delete(port.ifindex)
    }
    try? ports.update(slot, culvert_port())
    _ = try? devices.delete(slot)
    failures?.forget(slot: slot)
    try? changed()
  }

  // MARK: - Table

  func set(_ entry: ForwardingEntry, for mac: MACAddress) throws {
    try fdb.update(culvert_fdb_key(mac, segment: Self.segment), culvert_fdb_entry(entry, refreshedAt: 0))
    try changed()
  }

  func remove(_ mac: MACAddress) throws {
    try fdb.delete(culvert_fdb_key(mac, segment: Self.segment))
    try changed()
  }

  func set(_ resolution: TunnelResolution, of key: TunnelKey, slot: UInt32) throws {
    try tunnels.update(slot, culvert_tunnel(key, resolution, segment: Self.segment))
  }

  func clearTunnel(slot: UInt32) throws { try tunnels.update(slot, culvert_tunnel()) }

  func setVNIs(_ keys: Set<VNIKey>) throws {
    for key in vnis.subtracting(keys) { try vniMap.delete(culvert_vni_key(key)) }
    let flags = strict ? CULVERT_SEGMENT_STRICT.rawValue : 0
    for key in keys.subtracting(vnis) {
      try vniMap.update(culvert_vni_key(key), culvert_segment(segment: Self.segment, flags: flags))
    }
    vnis = keys
    try changed()
  }

  func setVTEPs(_ remotes: Set<IPv4Address>) throws {
    func key(_ remote: IPv4Address) -> culvert_vtep_key {
      culvert_vtep_key(segment: Self.segment, remote: remote.bigEndian)
    }
    for remote in vteps.subtracting(remotes) { try vtepMap.delete(key(remote)) }
    for remote in remotes.subtracting(vteps) { try vtepMap.update(key(remote), 1) }
    vteps = remotes
    try changed()
  }

  /// A map that only some objects have.
  func map<Key: BitwiseCopyable, Value: BitwiseCopyable>(_ name: String) throws -> BPFMap<Key, Value> {
    try object.map(name)
  }

  func reader() throws -> TableReader { try TableReader(object: object, segment: Self.segment) }

  // MARK: - Counters

  func counters(slot: UInt32) throws -> SlotCounters {
    var sum = SlotCounters()
    let lost = try failures?.count(slot: slot)
    sum.notSent = lost?.notSent
    sum.notRedirected = lost?.notRedirected
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
