// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import CBPFObjects
import LinuxSystem
import Netlink
import PacketHeaders

/// The programs of tier `xdp` cut into steps (bpf/cost.bpf.c) over a table of their own: for measuring what each
/// step costs. Packets come by `lo` of the namespace that this is made in; none leaves.
public final class CostPrograms {
  /// Each does what the one before it does, and one thing more.
  public enum Step: String, CaseIterable, Sendable {
    case empty
    /// Puts another remote end into the frame, or into the packet that brings it.
    case choose, sender
    /// Makes room for the outer headers and takes it back.
    case move
    case parse, table, port
    case outer, uplink
  }

  public static let container = MACAddress(value: 0x0201_0000_0001)
  public static let neighbour = MACAddress(value: 0x0201_0000_0002)
  /// In the table, but the kernel's to deliver.
  public static let kernelOnly = MACAddress(value: 0x0201_0000_0003)
  public static let absent = MACAddress(value: 0x0201_0000_00ff)
  public static let uplink = MACAddress(value: 0x0202_0000_0001)
  public static let local = IPv4Address("198.18.0.1")!
  public static let vni: UInt32 = 42
  public static let port = VXLANHeader.port
  /// VTEPs that the remote entries are spread over.
  static let tunnelCount = UInt32(CULVERT_COST_VTEPS)
  private static let domain: UInt32 = 1
  private static let uplinkSlot: UInt32 = 3
  /// Behind which the first of them is.
  public static let vtep = IPv4Address(value: CULVERT_COST_VTEP)

  public static func remote(_ number: UInt32) -> MACAddress {
    MACAddress(value: 0x0200_0000_0000 + UInt64(number))
  }

  private let tables: BPFTables
  private let programs: [Step: Box<BPFProgram>]
  private let generation: BPFMap<UInt32, UInt64>
  private let spread: BPFMap<UInt32, UInt32>
  private let entries: UInt32

  /// - Parameter entries: remote addresses in the table.
  public init(entries: UInt32) throws {
    self.entries = entries
    var options = FastPathOptions(overlay: "")
    options.entryCapacity = entries + 16
    options.portCapacity = 8
    tables = try BPFTables(options, object: culvert_bpf_cost())
    let object = Box(
      try tables.load(
        Step.allCases.map { "cost_\($0.rawValue)" }, uplink: Self.uplinkSlot))
    programs = try Dictionary(
      uniqueKeysWithValues: Step.allCases.map {
        ($0, Box(try object.value.program("cost_\($0.rawValue)")))
      })
    generation = try tables.map("generation")
    spread = try object.value.map(".data.spread")
    try openPorts()
    try fill()
  }

  private func openPorts() throws {
    let devices: BPFMap<UInt32, UInt32> = try tables.map("devices")
    var link = try RouteConnection().link(named: "lo")
    for slot in UInt32(1)...Self.uplinkSlot { try devices.update(slot, UInt32(link.index)) }
    link.mtu = 1450
    try tables.open(link, slot: 1, .workload(domain: Self.domain), flags: 0)
    link.mac = Self.uplink
    link.mtu = 1500
    try tables.open(link, slot: Self.uplinkSlot, .uplink, flags: 0)
    link.index += 1
    try tables.open(link, slot: 2, .workload(domain: Self.domain), flags: 0)
  }

  private static func tunnel(_ number: UInt32) -> (key: TunnelKey, resolution: TunnelResolution) {
    let key = TunnelKey(remote: .v4(IPv4Address(value: vtep.value + number)), port: port, vni: vni)
    let header = TunnelHeader(
      destinationMAC: MACAddress(value: 0x0202_0000_0002), sourceMAC: uplink, local: .v4(local),
      sourcePorts: 32768...60999, ttl: 64, tos: 0, flags: 0, mtu: 1450)
    return (key, .ready(header))
  }

  /// Resolved tunnels to as many VTEPs.
  public static func tunnels(_ count: Int) -> [culvert_tunnel] {
    (0..<UInt32(count)).map { number in
      let (key, resolution) = tunnel(number)
      return culvert_tunnel(key, resolution, uplink: uplinkSlot)
    }
  }

  private func fill() throws {
    let tunnels = min(entries, Self.tunnelCount)
    for number in 0..<tunnels {
      let (key, resolution) = Self.tunnel(number)
      try tables.set(resolution, of: key, uplink: Self.uplinkSlot, slot: number)
    }
    // As learned entries are: with a time after which the kernel must see a packet of theirs.
    let age: UInt32 = 100_000
    for number in 0..<entries {
      try tables.set(
        ForwardingEntry(target: .remote(tunnel: number % tunnels), refreshMilliseconds: age),
        for: Self.remote(number), domain: Self.domain)
    }
    for (slot, mac) in [(1, Self.container), (2, Self.neighbour)] as [(UInt32, MACAddress)] {
      try tables.set(ForwardingEntry(target: .local(slot: slot), refreshMilliseconds: age), for: mac,
        domain: Self.domain)
    }
    try tables.set(ForwardingEntry(target: .kernel(.passHost)), for: Self.kernelOnly, domain: Self.domain)
    try tables.setVNIs([VNIKey(vni: Self.vni, local: .v4(Self.local), port: Self.port)], domain: Self.domain)
  }

  public enum Destinations: String, Sendable {
    /// Every run meets the same two ends.
    case one
    /// Every run meets another of the remote ends.
    case all
  }

  /// Runs a step over one frame again and again. Returns nanoseconds per run as the kernel measured them, in
  /// whole ones.
  /// - Parameter remembers: a CPU may answer from what it remembers of the frame before, as it does in
  ///   service.
  public func run(
    _ step: Step, over frame: [UInt8], times: Int32, destinations: Destinations = .one,
    remembers: Bool = true
  ) throws -> Double {
    try generation.update(0, remembers ? 1 << 32 : 0)
    try spread.update(0, destinations == .all ? entries : 0)
    let result = try programs[step]!.value.testRun(frame, repetitions: times)
    guard result.action == .pass else {
      throw Failure("run", "step \(step.rawValue)", advice: "It returned \(result.value) for this frame.")
    }
    return Double(result.nanoseconds)
  }

  /// What became of the frames so far: of the container's port, or with steps `uplink` of the uplink.
  public func counts(of step: Step) throws -> [Verdict: UInt64] {
    try tables.counters(slot: step == .uplink ? Self.uplinkSlot : 1).packets
  }
}
