// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import Netlink

/// A container's port, and what became of it.
struct ServedPort {
  var link: Link
  /// Of a routed overlay: the bridge that routes for it; nil where it is routed itself.
  var bridge: Int32?
  /// nil while the kernel serves it alone.
  var slot: UInt32?
  /// Where the tier needs something of it.
  var peer: VethPeer?
  /// Its veth peer's, when that was looked at last.
  var endMTU: UInt32?
  /// Why the kernel serves it alone.
  var reason: String?
  var backoff: Backoff?
  var attachedAt: UInt64 = 0
  /// What it counted while it was attached before.
  var past = SlotCounters()
  /// What it had counted when traffic was last looked at.
  var seen = SlotCounters()
  /// nil where bulk TCP stays as it is, or is carried all the same.
  var bulk: BulkWatch?

  init(_ link: Link, bridge: Int32? = nil) {
    self.link = link
    self.bridge = bridge
  }

  /// As what is redirected to it must fit: a veth drops what its other end does not take, and by redirection what is
  /// behind that in a burst (veth_xdp_xmit).
  var taking: Link {
    var link = link
    link.mtu = min(link.mtu, endMTU ?? .max)
    return link
  }

  /// Is the kernel's for a while.
  mutating func backOff(_ why: String) {
    let now = Clock.monotonicNanoseconds
    let isFresh = slot != nil && now - attachedAt > Backoff.forgottenAfter
    let backoff = Backoff(why, now: now, after: isFresh ? nil : self.backoff)
    self.backoff = backoff
    reason = backoff.description
  }
}

extension Underlay {
  /// Attaches to a port that was prepared; returns what to say of it. Runs in its namespace.
  func attach(
    _ port: inout ServedPort, _ peer: VethPeer?, changes: String, domain: UInt32, watchesBulk: Bool, _ journal: JournalFile
  ) throws -> String {
    let link = port.link
    guard let slot = ports.take(now: Clock.monotonicNanoseconds) else {
      throw Failure("serve", link.name, advice: "all \(ports.size) port slots are taken")
    }
    do {
      try tier.attach(port.taking, slot: slot, .workload(domain: domain), endIsSeen: peer != nil, journal: journal)
    } catch {
      ports.give(back: slot, now: Clock.monotonicNanoseconds)
      throw error
    }
    port.slot = slot
    port.peer = peer
    port.reason = nil
    port.seen = SlotCounters()
    port.bulk = watchesBulk ? (try? peer ?? VethPeer.find(of: link)).flatMap { BulkWatch($0) } : nil
    port.attachedAt = Clock.monotonicNanoseconds
    let changed = changes.isEmpty ? "nothing changed" : "changed \(peer?.name ?? ""), its veth peer: \(changes)"
    return "\(link.name): tier \(tier.tier.rawValue), \(tier.mode(slot: slot)), \(changed)"
  }

  /// Detaches from a port, whether it still exists or not.
  func detach(_ port: inout ServedPort) {
    guard let slot = port.slot else { return }
    port.past.add((try? tier.counters(slot: slot)) ?? SlotCounters())
    tier.detach(slot: slot)
    ports.give(back: slot, now: Clock.monotonicNanoseconds)
    port.slot = nil
    port.peer = nil
  }
}
