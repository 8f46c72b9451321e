// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import CBPFObjects
import LinuxSystem
import Netlink

/// Tier `xdp`: the programs of bpf/xdp.bpf.c on the uplink and on the containers'
/// ports. Everything it holds (links, maps) goes with the process.
final class XDPTier: TableTier {
  let tier = Tier.xdp
  let portEndFeatures = EndFeatures.completeChecksums.merging(EndFeatures.redirectTarget) { $1 }
  let redirection = Redirection.always
  var mode: String { xdpMode.description }
  let tables: BPFTables
  var programIDs: Set<UInt32> { [portProgram.id, uplinkProgram.id] }
  private let xdpMode: XDPMode
  private let portProgram: BPFProgram
  private let uplinkProgram: BPFProgram
  private let devices: BPFMap<UInt32, UInt32>
  /// nil where the kernel cannot tell.
  private let failures: TransmitFailures?
  private var links: [UInt32: Box<XDPLink>] = [:]
  /// Slots whose device transmits frames of several buffers.
  private var multiBuffer: Set<UInt32> = []

  init(_ options: FastPathOptions, vxlanPort: UInt16, report: (String) -> Void) throws {
    tables = try BPFTables(
      options, vxlanPort: vxlanPort, object: culvert_bpf_xdp(), variables: [String: UInt32]())
    portProgram = try tables.program("culvert_port")
    uplinkProgram = try tables.program("culvert_uplink")
    devices = try tables.map("devices")
    xdpMode = options.mode
    do {
      failures = try TransmitFailures(capacity: options.portCapacity, followsVeths: false)
    } catch {
      failures = nil
      report("transmission failures cannot be counted on this kernel: \(error)")
    }
  }

  func attachUplink(_ link: Link, endIsSeen: Bool) throws {
    try attach(uplinkProgram, link, slot: UInt32(CULVERT_UPLINK_SLOT))
  }

  func attachPort(_ link: Link, slot: UInt32) throws { try attach(portProgram, link, slot: slot) }

  private func attach(_ program: borrowing BPFProgram, _ link: Link, slot: UInt32) throws {
    // Where the kernel (before 6.3) does not say, only veth is known to transmit several buffers.
    let features = try XDPFeatures.of(interface: link.index)
    if features?.contains(.redirectTargetMultiBuffer) ?? (link.kind == "veth") {
      multiBuffer.insert(slot)
    } else {
      multiBuffer.remove(slot)
    }
    do {
      try tables.open(link, slot: slot, flags: flags(slot))
      try devices.update(slot, UInt32(link.index))
      try failures?.follow(link, slot: slot)
      links[slot] = Box(
        try XDPLink(attaching: program, to: UInt32(link.index), interface: link.name, mode: xdpMode))
    } catch {
      clear(slot)
      throw error
    }
  }

  private func flags(_ slot: UInt32) -> UInt32 {
    multiBuffer.contains(slot) ? CULVERT_PORT_MULTI_BUFFER.rawValue : 0
  }

  func update(_ link: Link, slot: UInt32) throws {
    try tables.update(link, slot: slot, flags: flags(slot))
  }

  func detach(slot: UInt32) {
    links[slot] = nil
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
