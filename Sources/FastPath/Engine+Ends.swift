// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import Netlink

/// The veth peers that frames come from and go to: set up, watched,
/// and journalled so that they can be restored.
extension Engine {
  /// Restores what was changed for a port of the overlay's namespace.
  func undoPreparation(of link: Link) {
    for line in journal.undo(Device(namespace: place.identity, index: link.index)) { report(line) }
  }

  /// Looks after what others can change without an announcement here: the offloads and MTUs of
  /// the veth peers, and whether the devices still take redirected frames. What no
  /// longer fits goes to the kernel.
  func checkEnds() throws {
    if !hasReportedBackoff, tier.work?.contains(where: { $0.backoffs > 0 }) == true {
      hasReportedBackoff = true
      report(
        "redirecting bursts fails, or is slower than the sockets (do containers leave thousands of packets unread?): "
          + "bursts are sent by the sockets for a second each time; `culvert stats` counts this")
    }
    // What tier tc keeps of a container's end is announced, where that is permitted: nothing else of it can change.
    let isAnnounced = tier.tier == .tc && place.peers != nil
    let isChanged = checkPortEnds(try tier.objection(toDomain: domain), rechecks: !isAnnounced)
    uplink?.check(now: Clock.monotonicNanoseconds)
    if isChanged || mtusMayHaveChanged || isAttemptDue || hasUplink != hadUplink { try reconcile() }
  }

  /// The same at once for containers that have just changed something: what a container with a larger MTU sends
  /// meanwhile would be lost for good, since it is no segment any more.
  func checkEnds(_ reception: ForeignLinkMonitor.Reception) throws {
    let isChanged = checkPortEnds { link in
      guard case .changed(let places) = reception else { return true }
      guard let id = link.peerNamespaceID, let index = link.peer else { return false }
      return places.contains(ForeignLinkMonitor.Place(namespaceID: id, index: index))
    }
    if isChanged || mtusMayHaveChanged { try reconcile() }
  }

  /// Gives back the ports whose end no longer fits, or all for `reason`. Whether there was one.
  func checkPortEnds(
    _ reason: String? = nil, rechecks: Bool = true, of isMeant: (Link) -> Bool = { _ in true }
  ) -> Bool {
    var isChanged = false
    for (index, port) in ports where port.slot != nil && port.reason == nil && isMeant(port.link) {
      guard let reason = reason ?? objection(to: port.link, peer: port.peer) else {
        if rechecks { recheck(port.link, slot: port.slot!) }
        continue
      }
      backOff(index, reason)
      isChanged = true
    }
    return isChanged
  }

  /// A pause is over.
  private var isAttemptDue: Bool {
    let now = Clock.monotonicNanoseconds
    return uplink?.isAttemptDue(now: now) == true
      || ports.values.contains { port in
        port.slot == nil && port.backoff?.isOver(now: now) == true && port.reason == port.backoff?.description
      }
  }

  /// Runs in the device's namespace. A device that has just vanished is netlink's news.
  private func recheck(_ link: Link, slot: UInt32) {
    if (try? tier.recheck(link, slot: slot)) == true { report("\(link.name): \(tier.mode(slot: slot)) now") }
  }

  private func objection(to link: Link, peer: VethPeer?) -> String? {
    shared.objection(to: link, peer: peer) { mtu in
      note(endMTU: mtu, of: link)
      return tooLong(link, mtu)
    }
  }
}
