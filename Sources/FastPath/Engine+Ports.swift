// SPDX-License-Identifier: Apache-2.0
import CBPFObjects
import LinuxSystem
import Netlink
import PacketHeaders

/// Attaching to devices while there is something to carry, and giving them back when there is not.
extension Engine {
  /// Attaches to what is to be served now, and gives back what is not: program and settings, whole. An entry never names
  /// a device that is not attached.
  func reconcile() throws {
    let present = Dictionary(uniqueKeysWithValues: overlay.ports.map { ($0.index, $0) })
    for index in ports.keys where present[index] == nil { try drop(index) }
    for (index, link) in present { try follow(index, link) }
    if mtusMayHaveChanged {
      mtusMayHaveChanged = false
      _ = checkPortEnds()
    }
    try updateUplink()

    let stopped = stopReason
    var leaving: [Int32] = []
    var entering: [Int32] = []
    for index in present.keys.sorted() {
      if let (reason, isQuiet) = against(index, stopped: stopped) {
        if ports[index]!.slot != nil { leaving.append(index) }
        say(index, reason, isQuiet: isQuiet)
      } else if ports[index]!.slot == nil {
        entering.append(index)
      }
    }
    // What is heard first, so that nothing is decapsulated for ports that are about to go.
    if stopped != nil { try tables.setVNIs([]) }
    try leave(leaving)
    for index in entering { serve(index) }
    reconcileUplink(stopped)
    try notePrograms()
    if (stopped == nil) != wasServed || hasUplink != hadUplink {
      wasServed = stopped == nil
      hadUplink = hasUplink
      try publish()
    } else if !entering.isEmpty {
      try updateEntries(behind: Set(entering))
    }
    try tier.commit()
  }

  func isServed(_ index: Int32) -> Bool { ports[index]?.slot != nil && ports[index]?.reason == nil }

  /// What keeps a port with the kernel; quiet is what concerns more than this port, or passes by itself.
  func against(_ index: Int32, stopped: String?) -> (reason: String, isQuiet: Bool)? {
    if let stopped { return (stopped, true) }
    if let reason = against(index) { return (reason, false) }
    guard overlay.count(behind: index) > 0 else { return ("no MAC address is known behind it yet", true) }
    let isAlone = !overlay.hasRemotes && !overlay.ports.contains {
      $0.index != index && overlay.count(behind: $0.index) > 0
    }
    return isAlone ? ("no MAC address it could send to is known yet", true) : nil
  }

  /// What of a port itself keeps it with the kernel.
  private func against(_ index: Int32) -> String? {
    if let reasons = policy.ports[index], !reasons.isEmpty {
      return reasons.map(\.description).joined(separator: "; ")
    }
    guard let backoff = ports[index]?.backoff, !backoff.isOver(now: Clock.monotonicNanoseconds) else {
      return nil
    }
    return backoff.description
  }

  /// A port as it is now. Another peer than before is another container's.
  private func follow(_ index: Int32, _ link: Link) throws {
    guard let port = ports[index] else {
      ports[index] = ServedPort(link)
      return
    }
    ports[index]!.link = link
    guard !port.link.isSameButXDP(as: link) else { return }
    // What kept it away may be mended.
    ports[index]!.backoff?.end()
    if port.link.mtu != link.mtu {
      // Others may have been too long for it, or be so now.
      for other in ports.keys { ports[other]!.backoff?.end() }
      if let mtu = port.endMTU { note(endMTU: mtu, of: link) }
      mtusMayHaveChanged = true
    }
    guard let slot = port.slot else { return }
    if port.link.peer != link.peer || port.link.peerNamespaceID != link.peerNamespaceID {
      report("\(link.name): its veth peer has changed")
      try leave([index])
    } else {
      try tier.update(ports[index]!.taking, slot: slot)
    }
  }

  /// Names why a port is the kernel's, once.
  private func say(_ index: Int32, _ reason: String, isQuiet: Bool) {
    guard ports[index]!.reason != reason else { return }
    ports[index]!.reason = reason
    if !isQuiet { report("\(ports[index]!.link.name): left to the kernel: \(reason)") }
  }

  /// Takes ports out of the table, then detaches from them, then restores their peers.
  private func leave(_ indices: [Int32]) throws {
    guard !indices.isEmpty else { return }
    for index in indices where ports[index]!.reason == nil { ports[index]!.reason = "leaving" }
    try updateEntries(behind: Set(indices))
    try tier.commit()
    for index in indices {
      release(index)
      undoPreparation(of: ports[index]!.link)
      if ports[index]!.reason == "leaving" { ports[index]!.reason = nil }
    }
  }

  /// Computes the entries anew that lead to these ports.
  private func updateEntries(behind links: Set<Int32>) throws {
    try update(overlay.bridgeEntries.filter { links.contains($0.value.link) }.map(\.key))
  }

  /// Forgets a port that vanished or left the bridge. Nothing names its slot any more
  /// when this returns; one that only left gets its container's settings back.
  func drop(_ index: Int32) throws {
    guard let port = ports[index] else { return }
    release(index)
    ports[index] = nil
    narrowPorts.remove(index)
    if let slot = port.slot {
      let named = table.entries.filter { $0.value.target == .local(slot: slot) }
      try update(named.keys)
    }
    undoPreparation(of: port.link)
  }

  /// Attaches to a port; a port that cannot be served stays with the kernel, and is tried again.
  private func serve(_ index: Int32) {
    guard var link = ports[index]?.link else { return }
    do {
      // Nobody announces that a program is detached: what was heard last may be this process's own.
      if link.xdpAttached != 0 {
        let now = try place.overlayConnection.value.link(index: index)
        (link.xdpAttached, link.xdpProgramID) = (now.xdpAttached, now.xdpProgramID)
        ports[index]!.link = link
      }
      guard link.xdpAttached == 0 else {
        throw Failure(
          "serve", link.name, advice: "another XDP program (id \(link.xdpProgramID ?? 0)) is attached")
      }
      if let reason = tier.objection(toPort: link) { throw Failure("serve", link.name, advice: reason) }
      let (peer, changes) = try shared.prepare(port: link, journal, in: place.identity) { mtu in
        note(endMTU: mtu, of: link)
        return tooLong(link, mtu)
      }
      var port = ports[index]!
      let said = try shared.attach(
        &port, peer, changes: changes, domain: domain, watchesBulk: watchesBulk, journal)
      ports[index] = port
      report(said)
    } catch {
      undoPreparation(of: link)
      backOff(index, Self.oneLine(error))
    }
  }

  /// Gives a port to the kernel for a while.
  func backOff(_ index: Int32, _ reason: String) {
    guard let port = ports[index] else { return }
    ports[index]!.backOff(reason)
    report("\(port.link.name): left to the kernel: \(ports[index]!.reason!)")
  }

  /// Behind a device's name that is said already, the reason alone.
  static func oneLine(_ error: any Error) -> String {
    let error = (error as? UplinkTaken)?.failure ?? error
    var text = "\(error)".replacingOccurrences(of: "\n ", with: ":")
    if let failure = error as? Failure, failure.operation == "serve", failure.errno == nil, let advice = failure.advice {
      text = advice.replacingOccurrences(of: "\n ", with: "")
    }
    return text.hasSuffix(".") ? String(text.dropLast()) : text
  }

  /// An XDP program takes segmentation offload from the veth peer, and only segments get past a device that is narrower
  /// than the container believes: the VXLAN device, the port itself, or another port whose own container is offered more.
  func tooLong(_ port: Link, _ mtu: UInt32) -> String? {
    guard !tier.keepsSegments else { return nil }
    let devices = narrowPorts.compactMap { ports[$0]?.link } + [port] + (overlay.vxlan.map { [$0] } ?? [])
    let narrow = devices.min { ($0.mtu, $0.index) < ($1.mtu, $1.index) }
    guard let narrow, mtu > narrow.mtu else { return nil }
    return shared.tooLong(mtu, for: narrow)
  }

  func note(endMTU: UInt32, of port: Link) {
    if let known = ports[port.index], known.endMTU != endMTU {
      ports[port.index]!.endMTU = endMTU
      if let slot = known.slot { try? tier.update(ports[port.index]!.taking, slot: slot) }
    }
    let isNarrow = endMTU > port.mtu
    guard isNarrow != narrowPorts.contains(port.index) else { return }
    if isNarrow { narrowPorts.insert(port.index) } else { narrowPorts.remove(port.index) }
    mtusMayHaveChanged = true
  }

  /// Detaches from a port, whether it still exists or not.
  func release(_ index: Int32) {
    guard ports[index] != nil else { return }
    shared.detach(&ports[index]!)
  }
}

extension Link {
  /// Attaching and detaching a program announces the link too.
  fileprivate func isSameButXDP(as other: Link) -> Bool {
    var (one, two) = (self, other)
    one.xdpAttached = 0
    one.xdpProgramID = nil
    two.xdpAttached = 0
    two.xdpProgramID = nil
    return one == two
  }
}
