// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import Netlink

/// Attaching to the containers' ports, and letting go of them.
extension Engine {
  /// Attaches to ports that appeared, lets go of those that vanished or that the
  /// policy has turned against.
  func reconcilePorts() throws {
    let present = Dictionary(uniqueKeysWithValues: overlay.ports.map { ($0.index, $0) })
    for index in ports.keys where present[index] == nil {
      release(index)
      journal.changes.removeAll { $0.portIndex == index }
      try journal.save(directory)
      ports[index] = nil
    }
    for (index, link) in present.sorted(by: { $0.key < $1.key }) {
      let against = policy.ports[index]?.map(\.description).joined(separator: "; ")
      guard let port = ports[index] else {
        ports[index] = Port(link: link)
        if let against { decline(index, against) } else { serve(index) }
        continue
      }
      ports[index]!.link = link
      if let against {
        if port.reason != against { decline(index, against) }
      } else if port.slot == nil, port.reason != nil, port.link != link {
        serve(index)
      } else if let slot = port.slot, port.link.mtu != link.mtu {
        try tier.update(link, slot: slot)
      } else if port.slot != nil, port.reason != nil {
        // The policy's reason is gone.
        ports[index]!.reason = nil
      }
    }
  }

  /// Leaves a port to the kernel. Its program, if any, stays and passes everything.
  private func decline(_ index: Int32, _ reason: String) {
    guard let port = ports[index] else { return }
    ports[index]!.reason = reason
    report("\(port.link.name): stays with the kernel: \(reason)")
  }

  /// Attaches to a port; a port that cannot be served stays with the kernel.
  private func serve(_ index: Int32) {
    guard let link = ports[index]?.link else { return }
    do {
      guard link.xdpAttached == 0 else {
        throw Failure("attach to", link.name, advice: "another XDP program (id \(link.xdpProgramID ?? 0)) is attached")
      }
      let end = try ContainerEnd.find(of: link)
      let changes = try prepare(end, of: link)
      if try !RedirectTarget.isReady(link, mode: options.mode) { try end.renewNAPI() }
      guard try RedirectTarget.isReady(link, mode: options.mode) else { throw RedirectTarget.failure(link) }
      guard let slot = slots.take(now: Clock.monotonicNanoseconds) else {
        throw Failure("attach to", link.name, advice: "all \(options.portCapacity - 1) port slots are taken")
      }
      do {
        try tier.attachPort(link, slot: slot)
      } catch {
        slots.give(back: slot, now: Clock.monotonicNanoseconds)
        throw error
      }
      ports[index]!.slot = slot
      ports[index]!.end = end
      ports[index]!.reason = nil
      let changed = changes.isEmpty ? "nothing changed" : "changed \(end.name) in its container: \(changes)"
      report("\(link.name): tier \(tier.tier.rawValue), \(options.mode.description), \(changed)")
    } catch {
      undoPreparation(of: link)
      let reason = "\(error)".replacingOccurrences(of: "\n ", with: ":")
      decline(index, reason)
    }
  }

  /// Sets the container's end up for raw frames; the journal is on disk first.
  private func prepare(_ end: ContainerEnd, of link: Link) throws -> String {
    let before = try end.differing()
    guard !before.isEmpty else { return "" }
    let mine = Journal.Change(
      portIndex: link.index, portName: link.name, portMAC: link.mac?.description ?? "",
      peerIndex: end.index, peerName: end.name, peerNamespaceInode: end.namespaceInode, features: before)
    journal.changes.removeAll { $0.portIndex == link.index }
    journal.changes.append(mine)
    try journal.save(directory)
    try end.set(before.mapValues { !$0 })
    return before.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value ? "off" : "on")" }.joined(separator: ", ")
  }

  private func undoPreparation(of link: Link) {
    let mine = Journal(changes: journal.changes.filter { $0.portIndex == link.index })
    guard !mine.changes.isEmpty else { return }
    for line in mine.restore() { report(line) }
    journal.changes.removeAll { $0.portIndex == link.index }
    try? journal.save(directory)
  }

  /// Detaches from a port, whether it still exists or not.
  func release(_ index: Int32) {
    guard let slot = ports[index]?.slot else { return }
    tier.detach(slot: slot)
    slots.give(back: slot, now: Clock.monotonicNanoseconds)
    ports[index]!.slot = nil
  }

  /// Looks after what others can change without an announcement here: a container's
  /// offloads, whose partial checksums raw frames cannot complete, and whether the
  /// devices still take redirected frames. What no longer fits goes to the kernel.
  func checkEnds() throws {
    var changed = false
    for (index, port) in ports where port.slot != nil && port.reason == nil {
      guard let reason = try objection(to: port) else { continue }
      release(index)
      journal.changes.removeAll { $0.portIndex == index }
      try journal.save(directory)
      decline(index, reason)
      changed = true
    }
    let transmits = try place.inUnderlay { try RedirectTarget.isReady(place.uplink, mode: options.mode) }
    if transmits != uplinkTransmits {
      uplinkTransmits = transmits
      report(
        transmits
          ? "\(place.uplink.name): takes redirected frames again"
          : "\(place.uplink.name): stays with the kernel: \(RedirectTarget.failure(place.uplink))")
      try publish()
    } else if changed {
      try table.updateAll(overlay: overlay, underlay: &underlay, context: context)
    }
  }

  private func objection(to port: Port) throws -> String? {
    // A device that is about to vanish is netlink's news.
    guard let end = port.end, let differing = try? end.differing() else { return nil }
    guard differing.isEmpty else {
      let names = differing.map { "\($0.key) \($0.value ? "on" : "off")" }.sorted().joined(separator: ", ")
      return "its container set \(names)"
    }
    guard let isReady = try? RedirectTarget.isReady(port.link, mode: options.mode), !isReady else { return nil }
    return "\(RedirectTarget.failure(port.link))"
  }
}
