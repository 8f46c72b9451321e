// SPDX-License-Identifier: Apache-2.0
import CBPFObjects
import LinuxSystem
import Netlink

/// The other ends of the veths that frames come from and go to: set up, watched,
/// and journalled so that they can be restored.
extension Engine {
  /// Sets a veth's other end up for raw frames; the journal is on disk first.
  /// Returns what was changed, for people.
  func prepare(_ end: VethEnd, of link: Link, in namespace: NetworkNamespace.Identity) throws -> String {
    let before = try end.differing()
    guard !before.isEmpty else { return "" }
    let change = Journal.Change(
      portNamespaceInode: namespace.inode, portIndex: link.index, portName: link.name,
      portMAC: link.mac?.description ?? "", peerIndex: end.index, peerName: end.name,
      peerNamespaceInode: end.namespaceInode, features: before)
    journal.changes.removeAll { change.isSamePort(as: $0) }
    journal.changes.append(change)
    try journal.save(directory)
    try end.set(before.mapValues { !$0 })
    return before.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value ? "off" : "on")" }.joined(
      separator: ", ")
  }

  /// Restores what was changed for a port of the overlay's namespace.
  func undoPreparation(of link: Link) {
    let mine = journal.changes.filter {
      $0.portIndex == link.index && $0.portNamespaceInode == place.identity.inode
    }
    guard !mine.isEmpty else { return }
    let outcome = Journal(changes: mine).restore()
    for line in outcome.lines { report(line) }
    try? forget(index: link.index)
    journal.changes += outcome.owed.changes
    try? journal.save(directory)
  }

  /// Strikes a port of the overlay's namespace out of the journal.
  func forget(index: Int32) throws {
    journal.changes.removeAll { $0.portIndex == index && $0.portNamespaceInode == place.identity.inode }
    try journal.save(directory)
  }

  /// A veth as an uplink (nested hosts, labs) has a far end like a container's: what it
  /// sends may carry partial checksums, and what it receives needs NAPI. Runs in the
  /// underlay's namespace. Returns what was changed, for people.
  func prepareUplink() throws -> String {
    let uplink = place.uplink
    var changes = ""
    if tier.uplinkEndFeatures.isEmpty { return "" }
    if uplink.kind == "veth" {
      do {
        let end = try VethEnd.find(of: uplink, wanted: tier.uplinkEndFeatures)
        changes = try prepare(end, of: uplink, in: NetworkNamespace.current().identity)
        try renewNAPI(end, of: uplink)
        uplinkEnd = end
      } catch {
        let reason =
          "it is a veth whose far end cannot be seen, and could send partial checksums (\(error))"
        unseenUplinkEnd = reason.replacingOccurrences(of: "\n ", with: ":")
      }
    }
    guard try canRedirect(to: uplink) else { throw RedirectTarget.failure(uplink) }
    return changes.isEmpty ? "" : ", changed \(uplinkEnd?.name ?? "") at its far end: \(changes)"
  }

  /// Looks after what others can change without an announcement here: the offloads of
  /// the other ends, and whether the devices still take redirected frames. What no
  /// longer fits goes to the kernel.
  func checkEnds() throws {
    if !hasReportedRests, tier.work?.contains(where: { $0.rests > 0 }) == true {
      hasReportedRests = true
      report(
        "redirecting bursts takes longer than the sockets do (containers leave thousands of packets unread?), or fails: "
          + "they leave by the sockets for a second each time; `culvert stats` counts it")
    }
    var changed = false
    for (index, port) in ports where port.slot != nil && port.reason == nil {
      guard let reason = objection(to: port.link, end: port.end) else {
        recheck(port.link, slot: port.slot!)
        continue
      }
      release(index)
      undoPreparation(of: port.link)
      decline(index, reason)
      changed = true
    }
    let objection = try place.inUnderlay {
      recheck(place.uplink, slot: UInt32(CULVERT_UPLINK_SLOT))
      return self.objection(to: place.uplink, end: uplinkEnd)
    }
    if objection != uplinkObjection {
      uplinkObjection = objection
      report(
        "\(place.uplink.name): \(objection.map { "stays with the kernel: \($0)" } ?? "is carried again")")
      try publish()
    } else if changed {
      try table.updateAll(overlay: overlay, underlay: &underlay, context: context)
    }
  }

  /// Runs in the device's namespace. A device that has just vanished is netlink's news.
  private func recheck(_ link: Link, slot: UInt32) {
    if (try? tier.recheck(link, slot: slot)) == true { report("\(link.name): \(tier.mode(slot: slot)) now") }
  }

  /// Runs in the device's namespace.
  func canRedirect(to link: Link) throws -> Bool {
    try tier.redirection != .always || RedirectTarget.isReady(link, mode: options.mode)
  }

  /// For a tier that redirects: makes the device a target if it is none. Runs in the device's namespace.
  func renewNAPI(_ end: VethEnd, of link: Link) throws {
    if try tier.redirection != .none && !RedirectTarget.isReady(link, mode: options.mode) {
      try end.renewNAPI()
    }
  }

  /// nil also while a device is about to vanish: that is netlink's news.
  private func objection(to link: Link, end: VethEnd?) -> String? {
    if let differing = try? end?.differing(), !differing.isEmpty {
      let names = differing.map { "\($0.key) \($0.value ? "on" : "off")" }.sorted().joined(separator: ", ")
      return "its other end was set to \(names)"
    }
    guard let isReady = try? canRedirect(to: link), !isReady else { return nil }
    return "\(RedirectTarget.failure(link))".replacingOccurrences(of: "\n ", with: ":")
  }
}

extension Journal.Change {
  func isSamePort(as other: Journal.Change) -> Bool {
    portIndex == other.portIndex && portNamespaceInode == other.portNamespaceInode
  }
}
