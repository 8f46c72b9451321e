// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import LinuxSystem
import Netlink

/// Ports and the uplink, taken and given back.
extension RoutedSession {
  func attach(_ index: Int32) {
    guard let port = ports[index] else { return }
    guard let slot = slots.take(now: Clock.monotonicNanoseconds) else {
      ports[index]!.reason = "all \(options.portCapacity - 2) port slots are taken"
      return
    }
    do {
      try tables.open(port.link, slot: slot, .workload(domain: Self.domain), flags: port.flags, end: port.end)
      ports[index]!.attachment = try TCAttachment(portProgram, to: port.link, journal)
      ports[index]!.slot = slot
      report("\(port.link.name): tier tc, \(mode), nothing changed")
    } catch {
      tables.close(slot)
      slots.give(back: slot, now: Clock.monotonicNanoseconds)
      ports[index]!.reason = Engine.oneLine(error)
      report("\(port.link.name): left to the kernel: \(Engine.oneLine(error))")
    }
  }

  func release(_ index: Int32) {
    guard let slot = ports[index]?.slot else { return }
    ports[index]!.past.add((try? tables.counters(slot: slot)) ?? SlotCounters())
    ports[index]!.attachment?.detach()
    ports[index]!.attachment = nil
    tables.close(slot)
    slots.give(back: slot, now: Clock.monotonicNanoseconds)
    ports[index]!.slot = nil
  }

  func attachUplink() throws {
    guard uplinkAttachment == nil else { return }
    try tables.open(uplink, slot: uplinkSlot, .uplink, flags: 0)
    uplinkAttachment = try TCAttachment(uplinkProgram, to: uplink, journal)
    report("\(uplink.name): tier tc, \(mode), uplink")
  }

  func releaseUplink() {
    uplinkAttachment?.detach()
    uplinkAttachment = nil
  }
}
