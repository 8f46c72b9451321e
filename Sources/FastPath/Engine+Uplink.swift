// SPDX-License-Identifier: Apache-2.0
import CBPFObjects
import LinuxSystem
import Netlink

/// The uplink, attached while a port is served and somebody remote is known.
extension Engine {
  private static let slot = UInt32(CULVERT_UPLINK_SLOT)

  /// What of the overlay as a whole keeps everything with the kernel; nil where nothing does.
  var stopReason: String? {
    let reasons = (policy.overlay + policy.uplink).map(\.description)
    if !reasons.isEmpty { return reasons.joined(separator: "; ") }
    if overlay.bridge?.isUp != true { return "\(place.bridge.name) is down" }
    if overlay.vxlan?.isUp != true { return "\(place.vxlan.name) is down" }
    if overlay.vxlan?.master != overlay.bridgeIndex {
      return "\(place.vxlan.name) has left \(place.bridge.name)"
    }
    return nil
  }

  /// False while nothing may be forwarded outside the kernel.
  var overlayIsServed: Bool { stopReason == nil }

  /// After the ports: without one that is served, nothing is to be decapsulated, and nothing to be sent.
  func reconcileUplink(_ stopped: String?, hasRemotes: Bool) {
    let isAnyServed = ports.keys.contains { isServed($0) }
    let backoff = uplink.backoff.flatMap { $0.isOver(now: Clock.monotonicNanoseconds) ? nil : $0.description }
    let idle: String? =
      if ports.isEmpty {
        "no container is a port of \(place.bridge.name) yet"
      } else if !isAnyServed {
        "no port is served"
      } else {
        hasRemotes ? nil : "no remote address is known yet"
      }
    uplink.reason = stopped ?? idle ?? backoff
    if uplink.reason != nil { giveBackUplink() } else if uplink.slot == nil { serveUplink() }
  }

  private func serveUplink() {
    do {
      if let reason = try place.inUnderlay({ try tier.objection(toUplink: uplink.link) }) {
        return backOffUplink(reason)
      }
      try place.inUnderlay {
        let changed = try prepareUplink()
        try tier.attachUplink(uplink.link, endIsSeen: uplink.peer != nil)
        report(
          "\(uplink.link.name): tier \(tier.tier.rawValue), \(tier.mode(slot: Self.slot)), uplink\(changed)")
      }
      uplink.slot = Self.slot
      uplink.attachedAt = Clock.monotonicNanoseconds
      uplink.seen = SlotCounters()
      uplink.reason = nil
      uplinkFailure = nil
    } catch {
      undoPreparationOfUplink()
      uplinkFailure = error as? Failure ?? Failure("attach to", uplink.link.name, advice: Self.oneLine(error))
      backOffUplink(Self.oneLine(error))
    }
  }

  func backOffUplink(_ reason: String) {
    let now = Clock.monotonicNanoseconds
    let isFresh = uplink.slot != nil && now - uplink.attachedAt > Backoff.forgottenAfter
    let backoff = Backoff(reason, now: now, after: isFresh ? nil : uplink.backoff)
    uplink.backoff = backoff
    uplink.reason = backoff.description
    report("\(uplink.link.name): kernel path: \(backoff.description)")
  }

  /// Detaches, and restores the far end.
  private func giveBackUplink() {
    guard uplink.slot != nil else { return }
    try? tier.setVNIs([])
    releaseUplink()
    undoPreparationOfUplink()
  }

  func releaseUplink() {
    guard let slot = uplink.slot else { return }
    uplink.past.add((try? tier.counters(slot: slot)) ?? SlotCounters())
    tier.detach(slot: slot)
    uplink.slot = nil
    uplink.peer = nil
  }

  /// A veth as an uplink (nested hosts, labs) has a far end like a container's: what it
  /// sends may carry partial checksums, and what it receives needs NAPI. Runs in the
  /// underlay's namespace. Returns what was changed, for people.
  private func prepareUplink() throws -> String {
    let link = uplink.link
    var changes = ""
    if tier.uplinkEndFeatures.isEmpty { return "" }
    if link.kind == "veth" {
      let peer: VethPeer
      do {
        peer = try VethPeer.find(of: link, wanted: tier.uplinkEndFeatures)
        changes = try prepare(peer, of: link, in: NetworkNamespace.current().identity)
        try renewNAPI(peer, of: link)
      } catch {
        throw Failure(
          "serve", link.name,
          advice:
            "It is a veth whose far end cannot be seen, and could send partial checksums (\(Self.oneLine(error))).",
          status: .unavailable)
      }
      uplink.peer = peer
    }
    guard try canRedirect(to: link) else { throw RedirectTarget.failure(link) }
    return changes.isEmpty ? "" : ", changed \(uplink.peer?.name ?? ""), its veth peer: \(changes)"
  }
}
