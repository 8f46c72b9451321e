// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import Netlink

/// An uplink, which the overlays that leave by it share: attached while one of them has something to carry. It keeps
/// its slot, and what it has counted, as long as one of them is there.
final class Uplink {
  let slot: UInt32
  let device: Device
  private(set) var link: Link
  private(set) var isAttached = false
  private(set) var backoff: Backoff?
  /// Why it was refused last.
  private(set) var failure: Failure?

  private let underlay: Underlay
  private let report: (String) -> Void
  private var peer: VethPeer?
  private var attachedAt: UInt64 = 0
  private var past = SlotCounters()
  /// What it had counted when traffic was last looked at.
  private var seen = SlotCounters()
  private var checkedAt: UInt64 = 0
  private var watchedAt: UInt64 = 0
  /// The sessions that have something to carry, by domain; where each writes down what it changes.
  private var users: [(domain: UInt32, journal: JournalFile)] = []

  private var tier: any PacketTier { underlay.tier }

  init(_ link: Link, _ device: Device, _ underlay: Underlay, report: @escaping (String) -> Void) throws {
    guard let slot = underlay.ports.take(now: Clock.monotonicNanoseconds) else {
      throw Failure("use as uplink", link.name, advice: "All port slots are taken.")
    }
    self.slot = slot
    self.link = link
    self.device = device
    self.underlay = underlay
    self.report = report
    do {
      try underlay.tier.prepare(.uplink, slot: slot)
    } catch {
      underlay.ports.give(back: slot, now: Clock.monotonicNanoseconds)
      throw error
    }
  }

  deinit {
    if isAttached { underlay.tier.detach(slot: slot) }
    underlay.tier.forget(.uplink, slot: slot)
    underlay.ports.give(back: slot, now: Clock.monotonicNanoseconds)
  }

  // MARK: - Who needs it

  /// A session has something to carry. Attaches where nobody had.
  func use(domain: UInt32, _ journal: JournalFile) {
    if !users.contains(where: { $0.domain == domain }) { users.append((domain, journal)) }
    if !isAttached, backoff?.isOver(now: Clock.monotonicNanoseconds) ?? true { attach() }
  }

  /// A session has nothing to carry any more. Detaches, and restores the far end, where it was the last; returns what
  /// was restored.
  func leave(domain: UInt32) -> [String] {
    guard let index = users.firstIndex(where: { $0.domain == domain }) else { return [] }
    if users.count == 1 {
      defer { users = [] }
      return detach()
    } else {
      let leaving = users.remove(at: index)
      // The first answers for what was changed.
      if index == 0, isAttached { hand(from: leaving.journal, to: users[0].journal) }
      return []
    }
  }

  private func hand(from old: JournalFile, to new: JournalFile) {
    do {
      try old.move(device, to: new)
      try tier.move(slot: slot, to: new)
    } catch { report("\(link.name): \(error)") }
  }

  // MARK: - Attaching

  private func attach() {
    let journal = users[0].journal
    do {
      if let reason = try underlay.inside({ try tier.objection(toUplink: link) }) { return backOff(reason) }
      try underlay.inside {
        let changed = try prepare(journal)
        try tier.attach(link, slot: slot, .uplink, endIsSeen: peer != nil, journal: journal)
        report("\(link.name): tier \(tier.tier.rawValue), \(tier.mode(slot: slot)), uplink\(changed)")
      }
      isAttached = true
      attachedAt = Clock.monotonicNanoseconds
      seen = SlotCounters()
      failure = nil
    } catch {
      for line in journal.undo(device) { report(line) }
      failure = error as? Failure ?? Failure("attach to", link.name, advice: Engine.oneLine(error))
      backOff(Engine.oneLine(error))
    }
  }

  private func backOff(_ reason: String) {
    let now = Clock.monotonicNanoseconds
    let isFresh = isAttached && now - attachedAt > Backoff.forgottenAfter
    let next = Backoff(reason, now: now, after: isFresh ? nil : backoff)
    backoff = next
    report("\(link.name): left to the kernel: \(next.description)")
  }

  private func detach() -> [String] {
    guard isAttached else { return [] }
    past.add((try? tier.counters(slot: slot)) ?? SlotCounters())
    tier.detach(slot: slot)
    isAttached = false
    peer = nil
    return users[0].journal.undo(device)
  }

  /// A veth as an uplink (nested hosts, labs) has a far end like a container's: what it
  /// sends may carry partial checksums, and what it receives needs NAPI. Runs in the
  /// underlay's namespace. Returns what was changed, for people.
  private func prepare(_ journal: JournalFile) throws -> String {
    var changes = ""
    if tier.uplinkEndFeatures.isEmpty { return "" }
    if link.kind == "veth" {
      if let mtu = try? VethPeer.find(of: link).mtu, let reason = unequal(mtu) {
        throw Failure("serve", link.name, advice: reason, status: .unavailable)
      }
      do {
        let found = try VethPeer.find(of: link, wanted: tier.uplinkEndFeatures)
        changes = try journal.prepare(found, of: link, in: device.namespace)
        try underlay.renewNAPI(found, of: link)
        peer = found
      } catch {
        throw Failure(
          "serve", link.name,
          advice:
            "It is a veth whose far end cannot be seen, and could send partial checksums (\(Engine.oneLine(error))).",
          status: .unavailable)
      }
    }
    guard try underlay.canRedirect(to: link) else { throw RedirectTarget.failure(link) }
    return changes.isEmpty ? "" : ", changed \(peer?.name ?? ""), its veth peer: \(changes)"
  }

  /// Segments alone get past a device that is narrower than its far end, and an XDP program takes them from a veth. What
  /// is too long for the far end the veth drops, and by redirection what is behind it in a burst (veth_xdp_xmit).
  private func unequal(_ mtu: UInt32) -> String? {
    guard link.kind == "veth", mtu != link.mtu else { return nil }
    return "its MTU is \(link.mtu) and its far end's \(mtu): tier \(tier.tier.rawValue) would lose packets between the two; set them alike"
  }

  // MARK: - While it is there

  func update(_ link: Link) throws {
    self.link = link
    if isAttached { try tier.update(link, slot: slot) }
  }

  /// Looks after what others can change without an announcement here, once for all sessions in a second. Where it no
  /// longer fits it is given back; sessions see that by `isAttached`.
  func check(now: UInt64) {
    guard isAttached, now - checkedAt > 900_000_000 else { return }
    checkedAt = now
    let reason = try? underlay.inside { () -> String? in
      if try tier.recheck(link, slot: slot) { report("\(link.name): \(tier.mode(slot: slot)) now") }
      return try tier.objection(toUplink: link) ?? underlay.objection(to: link, peer: peer, longest: unequal)
    }
    if let reason = reason ?? nil { giveBack(reason) }
  }

  /// Gives it back where most of what it sees is the kernel's. What a network card receives loses nothing by a program
  /// that passes it; a veth's far end loses its segments. Whether there was any traffic.
  /// - Parameter isJudged: what is passed now would be passed later, too.
  func watchTraffic(now: UInt64, isJudged: Bool = true) throws -> Bool {
    guard isAttached, link.kind == "veth", !tier.keepsSegments, now - watchedAt >= 90_000_000 else { return false }
    watchedAt = now
    let counted = try tier.counters(slot: slot)
    defer { seen = counted }
    if isJudged, let reason = Engine.mostlyPassed(from: seen, to: counted, share: 4) { giveBack(reason) }
    return counted.bytes != seen.bytes
  }

  private func giveBack(_ reason: String) {
    backOff(reason)
    for line in detach() { report(line) }
  }

  /// What it waited for may be mended.
  func endPause() { backoff?.end() }

  /// Its pause is over, and somebody waits for it.
  func isAttemptDue(now: UInt64) -> Bool { !isAttached && backoff?.isOver(now: now) == true && !users.isEmpty }

  func counters() throws -> SlotCounters {
    var sum = past
    if isAttached { sum.add(try tier.counters(slot: slot)) }
    return sum
  }
}
