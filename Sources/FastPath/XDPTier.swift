// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import CBPFObjects
import LinuxSystem
import Netlink

/// Tier `xdp`: the programs of bpf/xdp.bpf.c, of routed overlays bpf/routed_xdp.bpf.c, or their siblings over IPv6, on
/// uplinks and on containers' ports. Everything it holds (links, maps) goes with the process.
final class XDPTier: PacketTier {
  let tier = Tier.xdp
  let portEndFeatures = EndFeatures.completeChecksums.merging(EndFeatures.redirectTarget) { $1 }
  let redirection = Redirection.always
  var mode: String { xdpMode.description }
  let tables: BPFTables
  var programIDs: Set<UInt32> { programs.ids }
  private let xdpMode: XDPMode
  private var programs: RolePrograms
  private let devices: BPFMap<UInt32, UInt32>
  /// nil where the kernel cannot tell.
  private let failures: TransmitFailures?
  private var ports: [UInt32: Attached] = [:]

  private struct Attached {
    var role: PortRole
    /// It transmits frames of several buffers.
    var isMultiBuffer: Bool
    var link: Box<XDPLink>?
    var flags: UInt32 { isMultiBuffer ? CULVERT_PORT_MULTI_BUFFER.rawValue : 0 }
  }

  init(_ options: FastPathOptions, _ family: ProgramFamily, report: (String) -> Void) throws {
    tables = try BPFTables(options, family)
    programs = RolePrograms(tables, suffix: family.suffix)
    devices = try tables.map("devices")
    xdpMode = options.mode
    do {
      failures = try TransmitFailures(capacity: options.portCapacity, followsVeths: false)
    } catch {
      failures = nil
      report("failed transmissions cannot be counted on this kernel: \(error)")
    }
  }

  func prepare(_ role: PortRole, slot: UInt32) throws { try programs.load(role, slot: slot) }
  func forget(_ role: PortRole, slot: UInt32) { programs.forget(role, slot: slot) }

  func attach(_ link: Link, slot: UInt32, _ role: PortRole, endIsSeen: Bool, journal: JournalFile) throws {
    // Where the kernel (before 6.3) does not say, only veth is known to transmit several buffers.
    let features = try XDPFeatures.of(interface: link.index)
    let isMultiBuffer = features?.contains(.redirectTargetMultiBuffer) ?? (link.kind == "veth")
    var port = Attached(role: role, isMultiBuffer: isMultiBuffer)
    do {
      let (program, index) = try programs.program(role, link, slot: slot)
      try tables.open(link, slot: slot, role, flags: port.flags, in: index)
      try devices.update(slot, UInt32(link.index))
      try failures?.follow(link, slot: slot)
      port.link = Box(
        try XDPLink(
          attaching: program.program, to: UInt32(link.index), interface: link.name,
          mode: xdpMode))
      ports[slot] = port
    } catch {
      clear(slot)
      throw error
    }
  }

  func update(_ link: Link, slot: UInt32) throws {
    guard let port = ports[slot] else { return }
    try tables.update(link, slot: slot, port.role, flags: port.flags)
  }

  func detach(slot: UInt32) {
    ports[slot] = nil
    clear(slot)
  }

  /// A device that has vanished took its entry of `devices` along.
  private func clear(_ slot: UInt32) {
    tables.close(slot)
    _ = try? devices.delete(slot)
    failures?.forget(slot: slot)
  }

  func counters(slot: UInt32) throws -> SlotCounters {
    var sum = try tables.counters(slot: slot)
    let lost = try failures?.count(slot: slot)
    sum.notSent = lost?.notSent
    sum.notRedirected = lost?.notRedirected
    return sum
  }
}
