// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import CBPFObjects
import LinuxSystem
import PacketHeaders
import Testing

@testable import FastPath

typealias Octets6 = (UInt8, UInt8, UInt8, UInt8, UInt8, UInt8)

extension MACAddress {
  var tuple: Octets6 {
    let o = octets
    return (o[0], o[1], o[2], o[3], o[4], o[5])
  }
}

/// A tier's programs.
enum Family: String, CaseIterable, Sendable {
  case xdp, afxdp, tc

  var object: culvert_bpf_object {
    switch self {
    case .xdp: culvert_bpf_xdp()
    case .afxdp: culvert_bpf_afxdp()
    case .tc: culvert_bpf_tc()
    }
  }
}

/// The programs, loaded, over a small table: containers a1 (slot 1) and a2 (slot 2) here, b1 behind
/// tunnel 0 and b2 behind tunnel 1. Frames of `testRun` come in by `lo`, which is a1's port; `lo`
/// also stands for every way out, as nothing is sent.
final class Fixture {
  static let domain: UInt32 = 7
  static let lo: UInt32 = 1
  /// Of tier `afxdp`, as in the program.
  static let frameLimit = 1792
  /// Packets in a jiffy that its programs forward by themselves.
  static let few: UInt32 = 100

  let family: Family
  let port: BPFProgram
  let uplink: BPFProgram
  let fdb: ForwardingMap
  let ports: BPFMap<UInt32, culvert_port>
  let tunnels: BPFMap<UInt32, culvert_tunnel>
  let vnis: BPFMap<culvert_vni_key, culvert_domain>
  let vteps: BPFMap<culvert_vtep_key, UInt32>
  let portByIfindex: BPFMap<UInt32, UInt32>
  let vxlanPorts: BPFMap<UInt32, UInt64>
  let devices: BPFMap<UInt32, UInt32>
  let generation: BPFMap<UInt32, UInt64>
  let counters: BPFMap<UInt32, culvert_counters>
  let object: BPFObject
  /// Of tier `afxdp`.
  let receiveQueues: BPFMap<UInt32, culvert_rx_queue>?
  /// So that a frame can be redirected there.
  private let sockets: Sockets?

  /// - Parameter forwardsFew: of tier `afxdp`: its programs forward few packets by themselves.
  init(_ family: Family, forwardsFew: Bool = false) throws {
    let embedded = family.object
    var object = try BPFObject(name: String(cString: embedded.name), data: embedded.data, size: embedded.size)
    try object.resize("ports", to: 8)
    try object.resize("counters", to: 8)
    try object.resize("devices", to: 8)
    let capacity: UInt32 = 64
    var config = culvert_config()
    config.hash_seed = 0x1234_5678_9abc
    config.fdb_seed = 0x5eed
    config.fdb_buckets = ForwardingMap.buckets(for: capacity)
    try object.resize("fdb", to: config.fdb_buckets)
    try object.set("config", to: config)
    if family == .afxdp {
      for map in ["sockets", "rx_queues"] { try object.resize(map, to: 8 * UInt32(CULVERT_QUEUES)) }
      try object.set("few", to: forwardsFew ? Self.few : 0)
    }
    if family == .tc { try object.set("decap_flags", to: TCTier.decapsulationFlags()) }
    try object.load()
    self.family = family
    port = try object.program("culvert_port")
    uplink = try object.program("culvert_uplink")
    fdb = ForwardingMap(try ForwardingMapView(object, config), capacity: capacity)
    ports = try object.map("ports")
    tunnels = try object.map("tunnels")
    vnis = try object.map("vnis")
    vteps = try object.map("vteps")
    portByIfindex = try object.map("port_by_ifindex")
    vxlanPorts = try object.map("vxlan_ports")
    devices = try object.map("devices")
    generation = try object.map("generation")
    counters = try object.map("counters")
    receiveQueues = family == .afxdp ? try object.map("rx_queues") : nil
    for slot in UInt32(0)..<8 {
      var queue = culvert_rx_queue()
      queue.is_open = 1
      try receiveQueues?.update(slot * UInt32(CULVERT_QUEUES), queue)
    }
    sockets = family == .afxdp ? try Sockets(object) : nil
    self.object = object
    try fill()
  }

  /// The table as it was made, and nothing remembered.
  func fill() throws {
    for key in fdb.view.keys { fdb.remove(key) }
    for key in try vteps.keys() { try vteps.delete(key) }
    try generation.update(0, 0)
    try setPort(0, ifindex: 9, mtu: 1500, mac: Outer.uplink)
    try setPort(1, ifindex: Self.lo)
    try setPort(2, ifindex: 3)
    for slot in UInt32(0)..<3 { try devices.update(slot, Self.lo) }
    try portByIfindex.update(culvert_port_place(Self.lo), 1)
    try setTunnel(0)
    try setTunnel(1) { $0.remote = Outer.otherRemote.bigEndian }
    try setFDB(Frames.a1, .local(slot: 1))
    try setFDB(Frames.a2, .local(slot: 2))
    try setFDB(Frames.b1, .remote(tunnel: 0))
    try setFDB(Frames.b2, .remote(tunnel: 1))
    try setFDB(Frames.kernelOnly, .kernel(.passHost))
    try setSegment(flags: 0)
    try vxlanPorts.update(UInt32(VXLANHeader.port / 64), 1 << UInt64(VXLANHeader.port % 64))
  }

  /// Of tier `afxdp`: what the first queue of a slot knows.
  func receiveQueue(slot: UInt32 = 1) throws -> culvert_rx_queue {
    try #require(try receiveQueues?.lookup(slot * UInt32(CULVERT_QUEUES)))
  }

  /// Of all queues.
  func direct() throws -> UInt64 {
    guard receiveQueues != nil else { return 0 }
    return try (UInt32(0)..<8).reduce(0) { $0 + (try receiveQueue(slot: $1).direct) }
  }

  /// Now, as entries have it.
  static var tick: UInt32 { UInt32(truncatingIfNeeded: Clock.monotonicNanoseconds >> CULVERT_TICK_SHIFT) }

  static func key(_ mac: MACAddress) -> UInt64 { mac.forwardingKey(domain: domain) }

  /// - Parameter refreshed: tick of CLOCK_MONOTONIC.
  func setFDB(
    _ mac: MACAddress, _ target: ForwardingEntry.Target, every milliseconds: UInt32 = 0, refreshed: UInt32 = 0
  )
    throws
  {
    let entry = ForwardingEntry(target: target, refreshMilliseconds: milliseconds)
    try fdb.set(entry.nexthop, for: Self.key(mac))
    fdb.view.find(Self.key(mac))?.change(nexthop: entry.nexthop, refreshed: refreshed)
  }

  func setPort(
    _ slot: UInt32, ifindex: UInt32, mtu: UInt32 = 1450, flags: UInt32 = 0, mac: MACAddress = .zero
  ) throws {
    try ports.update(
      slot,
      culvert_port(
        ifindex: ifindex, mtu: mtu, flags: flags, domain: Self.domain, mac: mac.tuple, zero: 0, relay_out: 0,
        relay_in: 0))
  }

  func setTunnel(_ slot: UInt32, _ change: (inout culvert_tunnel) -> Void = { _ in }) throws {
    var tunnel = culvert_tunnel()
    tunnel.dst_mac = Outer.nextHop.tuple
    tunnel.src_mac = Outer.uplink.tuple
    tunnel.local = Outer.local.bigEndian
    tunnel.remote = Outer.remote.bigEndian
    tunnel.vni_be = (Outer.vni << 8).bigEndian
    tunnel.udp_port = VXLANHeader.port.bigEndian
    tunnel.source_min = 32768
    tunnel.source_max = 60999
    tunnel.ttl = 64
    tunnel.mtu = 1450
    tunnel.valid = 1
    change(&tunnel)
    try tunnels.update(slot, tunnel)
  }

  func setSegment(flags: culvert_domain_flags.RawValue) throws {
    let key = culvert_vni_key(
      vni_be: (Outer.vni << 8).bigEndian, local: Outer.local.bigEndian,
      udp_port: VXLANHeader.port.bigEndian, zero: 0)
    try vnis.update(key, culvert_domain(domain: Self.domain, flags: flags))
  }

  /// Runs `body` with a fixture in a network namespace of its own, on a thread of its own: a failed
  /// expectation in there names its line, but not its test.
  static func run<T>(
    _ family: Family = .xdp, forwardsFew: Bool = false, _ body: (Fixture) throws -> T
  ) throws -> T {
    let namespace = try NetworkNamespace.makeAnonymous()
    return try namespace.run { try body(try Fixture(family, forwardsFew: forwardsFew)) }
  }
}

extension ForwardingMapView {
  /// Of all entries.
  var keys: [UInt64] {
    (0..<Int(bucketCount)).flatMap { places(in: $0).map(\.key).filter { $0 != 0 } }
  }
}
