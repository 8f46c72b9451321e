// SPDX-License-Identifier: Apache-2.0
import CBPFObjects
import LinuxSystem
import Netlink

/// The veth peers that frames come from and go to: set up, watched,
/// and journalled so that they can be restored.
extension Engine {
  /// Sets a veth peer up for raw frames; the journal is on disk first.
  /// Returns what was changed, for people.
  func prepare(_ peer: VethPeer, of link: Link, in namespace: NetworkNamespace.Identity) throws -> String {
    let before = try peer.differing()
    guard !before.isEmpty else { return "" }
    let change = Journal.Change(
      portNamespaceInode: namespace.inode, portIndex: link.index, portName: link.name,
      portMAC: link.mac?.description ?? "", peerIndex: peer.index, peerName: peer.name,
      peerNamespaceInode: peer.namespace.identity.inode,
      portNamespaceCookie: NamespaceReference.currentCookie(), peerNamespaceCookie: peer.namespace.cookie,
      features: before)
    journal.changes.removeAll { change.isSamePort(as: $0) }
    journal.changes.append(change)
    try journal.save(directory)
    try peer.set(before.mapValues { !$0 })
    return before.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value ? "off" : "on")" }.joined(
      separator: ", ")
  }

  /// Restores what was changed for a port of the overlay's namespace.
  func undoPreparation(of link: Link) {
    undo { $0.portIndex == link.index && $0.portNamespaceInode == place.identity.inode }
  }

  func undoPreparationOfUplink() {
    guard let inode = try? place.inUnderlay({ try NetworkNamespace.current().identity.inode }) else { return }
    undo { $0.portIndex == uplink.link.index && $0.portNamespaceInode == inode }
  }

  private func undo(_ isMeant: (Journal.Change) -> Bool) {
    let mine = journal.changes.filter(isMeant)
    guard !mine.isEmpty else { return }
    let outcome = Journal(changes: mine).restore()
    for line in outcome.lines { report(line) }
    journal.changes.removeAll(where: isMeant)
    journal.changes += outcome.owed.changes
    try? journal.save(directory)
  }

  /// Looks after what others can change without an announcement here: the offloads and MTUs of
  /// the veth peers, and whether the devices still take redirected frames. What no
  /// longer fits goes to the kernel.
  func checkEnds() throws {
    if !hasReportedBackoff, tier.work?.contains(where: { $0.backoffs > 0 }) == true {
      hasReportedBackoff = true
      report(
        "redirecting bursts takes longer than the sockets do (containers leave thousands of packets unread?), or fails: "
          + "they leave by the sockets for a second each time; `culvert stats` counts it")
    }
    var isChanged = false
    for (index, port) in ports where port.slot != nil && port.reason == nil {
      guard let reason = objection(to: port.link, peer: port.peer) else {
        recheck(port.link, slot: port.slot!)
        continue
      }
      backOff(index, reason)
      isChanged = true
    }
    if let slot = uplink.slot {
      let reason = try place.inUnderlay {
        recheck(uplink.link, slot: slot)
        return try tier.objection(toUplink: uplink.link) ?? objection(to: uplink.link, peer: uplink.peer)
      }
      if let reason {
        backOffUplink(reason)
        isChanged = true
      }
    }
    if isChanged || isAttemptDue { try reconcile() }
  }

  /// A pause is over.
  private var isAttemptDue: Bool {
    let now = Clock.monotonicNanoseconds
    return (Array(ports.values) + [uplink]).contains { port in
      port.slot == nil && port.backoff?.isOver(now: now) == true && port.reason == port.backoff?.description
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
  func renewNAPI(_ peer: VethPeer, of link: Link) throws {
    if try tier.redirection != .none && !RedirectTarget.isReady(link, mode: options.mode) {
      try peer.renewNAPI()
    }
  }

  /// nil also while a device is about to vanish: that is netlink's news.
  private func objection(to link: Link, peer: VethPeer?) -> String? {
    if let peer {
      guard let state = try? peer.state() else { return "its veth peer is gone, or in another namespace" }
      if !state.differing.isEmpty {
        let names = state.differing.map { "\($0.key) \($0.value ? "on" : "off")" }.sorted().joined(
          separator: ", ")
        return "its veth peer was set to \(names)"
      }
      if link.index != uplink.link.index || place.isSplit, let reason = tooLong(state.mtu) { return reason }
    }
    guard let isReady = try? canRedirect(to: link), !isReady else { return nil }
    return Self.oneLine(RedirectTarget.failure(link))
  }
}

extension Journal.Change {
  func isSamePort(as other: Journal.Change) -> Bool {
    portIndex == other.portIndex && portNamespaceInode == other.portNamespaceInode
  }
}
