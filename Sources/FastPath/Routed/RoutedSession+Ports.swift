// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import Netlink

/// Attaching to containers' ports while they are served, and giving them back when they are not.
extension RoutedSession {
  func followPorts(_ containers: [(link: Link, bridge: Link?)], _ facts: PolicyFacts) throws {
    let changedEnds = noteEndPrograms(facts.endPrograms)
    let looksAtEnds = endsAreDue()
    var present: Set<Int32> = []
    for (link, bridge) in containers {
      present.insert(link.index)
      if let known = ports[link.index],
        known.link.peer != link.peer || known.link.peerNamespaceID != link.peerNamespaceID || known.bridge != bridge?.index
      {
        try drop(link.index)
      }
      var port = ports[link.index] ?? ServedPort(link, bridge: bridge?.index)
      let isOther = port.link.mtu != link.mtu || changedEnds.contains(link.index)
      // What kept it away may be mended.
      if port.link.mtu != link.mtu { port.backoff?.end() }
      port.link = link
      ports[link.index] = port
      if looksAtEnds { checkEnd(link.index) }
      let reason = objection(to: link, bridge, facts) ?? pause(of: link.index)
      if let reason, port.reason != reason, reason != ports[link.index]!.backoff?.description {
        report("\(link.name): left to the kernel: \(reason)")
      }
      ports[link.index]!.reason = reason
      guard reason == nil, reasons.isEmpty else { continue }
      if let slot = port.slot {
        let taking = ports[link.index]!.taking
        if isOther { try tier.update(taking, slot: slot) }
        _ = try tier.recheck(taking, slot: slot)
      } else {
        attach(link.index)
      }
    }
    for index in Set(ports.keys).subtracting(present) { try drop(index) }
  }

  /// Nothing names its slot any more before another may have it.
  private func drop(_ index: Int32) throws {
    if let slot = ports[index]?.slot {
      for (address, entry) in entries where entry.target == .local(slot: slot) {
        try tables.remove(address.mac, domain: address.domain)
        entries[address] = nil
      }
      if written[index] != nil {
        _ = try devices.value.delete(UInt32(index))
        written[index] = nil
      }
    }
    release(index)
    ports[index] = nil
  }

  // MARK: - Attaching

  private func attach(_ index: Int32) {
    guard let link = ports[index]?.link else { return }
    do {
      let (peer, changes) = try shared.prepare(port: link, journal, in: identity) { mtu in
        ports[index]!.endMTU = mtu
        return tooLong(link, mtu)
      }
      var port = ports[index]!
      let said = try shared.attach(
        &port, peer, changes: changes, domain: overlayDomain, watchesBulk: watchesBulk, journal)
      ports[index] = port
      report(said)
    } catch {
      undoPreparation(of: index)
      backOff(index, Engine.oneLine(error))
    }
  }

  /// Detaches from a port, whether it still exists or not, and gives its container's settings back.
  func release(_ index: Int32) {
    guard ports[index]?.slot != nil else { return }
    detach(index)
    undoPreparation(of: index)
  }

  func detach(_ index: Int32) {
    guard ports[index] != nil else { return }
    shared.detach(&ports[index]!)
  }

  private func undoPreparation(of index: Int32) {
    for line in journal.undo(Device(namespace: identity, index: index)) { report(line) }
  }

  /// Gives a port to the kernel for a while: where it is attached, once nothing leads to it any more.
  func backOff(_ index: Int32, _ reason: String) {
    guard let port = ports[index] else { return }
    ports[index]!.backOff(reason)
    report("\(port.link.name): left to the kernel: \(ports[index]!.reason!)")
  }

  /// Other packets than before are the kernel's: what was mostly passed may not be so any more.
  func endPauses() {
    for index in ports.keys { ports[index]!.backoff?.end() }
    uplinkPort.endPause()
  }

  /// Why a port that is not objected to waits all the same.
  private func pause(of index: Int32) -> String? {
    if let backoff = ports[index]!.backoff, !backoff.isOver(now: Clock.monotonicNanoseconds) { return backoff.description }
    return uplinkReason
  }

  // MARK: - Their ends

  /// Which ports are sent to by their drivers, since an XDP program at the other end is to see what arrives; returns
  /// those of which that is new.
  private func noteEndPrograms(_ programs: Set<Int32>) -> Set<Int32> {
    guard let tier = tier as? TCTier else { return [] }
    let before = tier.sentByDriver.updateValue(programs, forKey: overlayDomain) ?? []
    return before.symmetricDifference(programs)
  }

  /// Nobody announces what is changed there.
  private func endsAreDue() -> Bool {
    let now = Clock.monotonicNanoseconds
    guard !tier.portEndFeatures.isEmpty, now - endsCheckedAt > 900_000_000 else { return false }
    endsCheckedAt = now
    return true
  }

  private func checkEnd(_ index: Int32) {
    guard let port = ports[index], let slot = port.slot else { return }
    let reason = shared.objection(to: port.link, peer: port.peer) { mtu in
      if port.endMTU != mtu {
        ports[index]!.endMTU = mtu
        try? tier.update(ports[index]!.taking, slot: slot)
      }
      return tooLong(port.link, mtu)
    }
    if let reason { backOff(index, reason) }
  }

  /// What is longer than the VXLAN device takes is answered; what is longer than the port takes, or than another port of
  /// its bridge whose own container is offered more, is lost, unless it is a segment still.
  func tooLong(_ port: Link, _ mtu: UInt32) -> String? {
    guard !tier.keepsSegments else { return nil }
    let bridge = ports[port.index]?.bridge
    let narrow = ports.values.filter { bridge != nil && $0.bridge == bridge && $0.endMTU ?? 0 > $0.link.mtu }.map(\.link)
    let narrowest = (narrow + [port]).min { ($0.mtu, $0.index) < ($1.mtu, $1.index) }!
    return mtu > narrowest.mtu ? shared.tooLong(mtu, for: narrowest) : nil
  }
}
