// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import CBPFObjects
import LinuxSystem
import Netlink
import PacketHeaders

/// Tier `tc`: the programs of bpf/tc.bpf.c at the tc ingress of the uplink and of the containers' ports.
/// It works on skbs: offloads stay as they are, and nothing is changed at the containers' ends.
final class TCTier: TableTier {
  let tier = Tier.tc
  let portEndFeatures: [String: Bool] = [:]
  let redirection = Redirection.none
  let tables: BPFTables
  let keepsSegments = true
  /// Called before a filter is made that would outlive this process, and after it is gone.
  var onFilter: (Journal.Filter) throws -> Void = { _ in }
  var onFilterRemoved: (Journal.Filter) -> Void = { _ in }
  /// Ports that are sent to by their drivers: an XDP program at the other end is to see what arrives.
  var sentByDriver: Set<Int32> = []
  private let hasTCX: Bool
  /// Of this overlay's filters: on an uplink that several share, each has its own.
  private let handle: UInt32
  private let portProgram: BPFProgram
  private let uplinkProgram: BPFProgram
  private let portStub: BPFProgram
  private let uplinkStub: BPFProgram
  /// What the stubs call; it is empty once no process holds it.
  private let attached: BPFMap<UInt32, Int32>
  private var links: [UInt32: Box<TCXLink>] = [:]
  private var filters: [UInt32: Journal.Filter] = [:]

  init(_ options: FastPathOptions, _ place: OverlayPlace) throws {
    guard !place.isSplit else {
      throw Failure(
        "serve \(place.bridge.name) by", "tier tc",
        advice:
          "Bridge and uplink are in different namespaces, which a tc program cannot cross; use tier xdp.",
        status: .unavailable)
    }
    tables = try BPFTables(
      options, vxlanPort: place.vxlan.vxlan?.port ?? 4789, object: culvert_bpf_tc(),
      variables: [
        "decap_flags": try Self.decapsulationFlags(),
        "exact_checksums": options.outerChecksum == .exact ? 1 : 0,
      ])
    portProgram = try tables.program("culvert_port")
    uplinkProgram = try tables.program("culvert_uplink")
    portStub = try tables.program("culvert_stub_port")
    uplinkStub = try tables.program("culvert_stub_uplink")
    attached = try tables.map("attached")
    handle = 0xc000_0000 | UInt32(place.bridge.index)
    hasTCX = TCXLink.isSupported() && !options.avoidsTCX
    if !hasTCX {
      try attached.update(0, portProgram.descriptor.raw)
      try attached.update(1, uplinkProgram.descriptor.raw)
    }
  }

  var mode: String { hasTCX ? "tcx" : "clsact" }
  var programIDs: Set<UInt32> { [portProgram.id, uplinkProgram.id] }

  /// BPF_F_ADJ_ROOM_DECAP_L3_IPV6 and BPF_F_ADJ_ROOM_DECAP_L4_UDP (linux/bpf.h of Linux 6.3 and 7.1).
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
    return try [innerIsIPv6, clearTunnelMarks].reduce(0) { flags, flag in
      try program.testRunSKB(packet, mark: flag).value == 1 ? flags | UInt64(flag) : flags
    }
  }

  // MARK: - Devices

  func attachUplink(_ link: Link, endIsSeen: Bool) throws {
    try attach(link, slot: UInt32(CULVERT_UPLINK_SLOT))
  }
  func attachPort(_ link: Link, slot: UInt32) throws { try attach(link, slot: slot) }

  private func attach(_ link: Link, slot: UInt32) throws {
    do {
      try tables.open(link, slot: slot, flags: flags(of: link))
      try attachProgram(link, slot: slot)
    } catch {
      detach(slot: slot)
      throw error
    }
  }

  private func attachProgram(_ link: Link, slot: UInt32) throws {
    let isUplink = slot == UInt32(CULVERT_UPLINK_SLOT)
    guard hasTCX else {
      let route = try RouteConnection()
      let others = try route.trafficFilters().filter { $0.link == link.index }
      // What only filters of ours use was made by one of us, and goes with the last.
      let isOurs = !others.isEmpty && others.allSatisfy { $0.priority == TCFilter.priority }
      let change = Journal.Filter(
        namespaceInode: try NetworkNamespace.current().identity.inode, index: link.index, name: link.name,
        mac: link.mac?.description ?? "",
        madeClsact: try isOurs || route.ingressDisciplines()[link.index] == nil,
        handle: handle, namespaceCookie: NamespaceReference.currentCookie())
      try onFilter(change)
      filters[slot] = change
      if isUplink {
        try TCFilter.add(uplinkStub, handle: handle, to: link.index, interface: link.name)
      } else {
        try TCFilter.add(portStub, handle: handle, to: link.index, interface: link.name)
      }
      return
    }
    if isUplink {
      links[slot] = Box(
        try TCXLink(attaching: uplinkProgram, to: UInt32(link.index), interface: link.name))
    } else {
      links[slot] = Box(try TCXLink(attaching: portProgram, to: UInt32(link.index), interface: link.name))
    }
  }

  /// Lists of whole packets cannot be cut up by what is left of their marks once the tunnel is taken off.
  func objection(toUplink link: Link) throws -> String? {
    guard try Ethtool().features(of: link.name)["rx-gro-list"]?.isOn == true else { return nil }
    return
      "rx-gro-list is on, and merges packets as this tier cannot take them apart; `ethtool -K \(link.name) rx-gro-list off`"
  }

  /// A veth into another namespace can be entered; what else there is, is sent to.
  private func flags(of link: Link) -> UInt32 {
    let mayEnter = link.kind == "veth" && link.peerNamespaceID != nil && !sentByDriver.contains(link.index)
    return mayEnter ? CULVERT_PORT_ENTER.rawValue : 0
  }

  func update(_ link: Link, slot: UInt32) throws {
    try tables.update(link, slot: slot, flags: flags(of: link))
  }

  func detach(slot: UInt32) {
    links[slot] = nil
    if let filter = filters.removeValue(forKey: slot) {
      // What cannot be removed stays in the journal.
      if (try? filter.undo()) != nil { onFilterRemoved(filter) }
    }
    tables.close(slot)
  }

  /// A redirected skb that the device refuses is the device's own drop, which others cause too: not told.
  func counters(slot: UInt32) throws -> SlotCounters { try tables.counters(slot: slot) }
}
