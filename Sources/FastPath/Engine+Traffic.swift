// SPDX-License-Identifier: Apache-2.0
import CBPFObjects
import LinuxSystem

/// Ports whose traffic the fast path mostly has to leave to the kernel are given back: a program there would only be in
/// the way of what it does not carry.
extension Engine {
  /// Fewer bytes between two looks are no load to be spared.
  private static let enough: UInt64 = 500_000

  var watchesTraffic: Bool { ports.values.contains { $0.slot != nil } }

  /// Looks at what was counted since the last time, at most as often as the loop is to.
  func watchTraffic() throws {
    let time = Clock.monotonicNanoseconds
    guard time / 100_000_000 != watchedAt / 100_000_000 else { return }
    let elapsed = time - watchedAt
    watchedAt = time
    // While there is none, nobody's counters are looked at one by one.
    let counted = isBusy ? nil : try tier.tables.countedBytes(age: idleTrafficInterval / 2)
    isBusy = false
    var isChanged = false
    for (index, port) in ports where port.slot != nil && port.reason == nil {
      if let counted, port.slot! < counted.count, counted[Int(port.slot!)] == port.seen.allBytes { continue }
      let now = try tier.counters(slot: port.slot!)
      defer { ports[index]?.seen = now }
      if now.bytes != port.seen.bytes { isBusy = true }
      guard
        let reason = Self.mostlyPassed(from: port.seen, to: now, share: tier.keepsSegments ? 30 : 4)
          ?? bulkReason(index, from: port.seen, to: now, nanoseconds: elapsed)
      else { continue }
      backOff(index, reason)
      isChanged = true
    }
    if try uplink?.watchTraffic(now: time) == true { isBusy = true }
    if isChanged || hasUplink != hadUplink { try reconcile() }
  }

  var watchesBulk: Bool { !tier.keepsSegments && !options.carriesBulk }

  private func bulkReason(
    _ index: Int32, from before: SlotCounters, to now: SlotCounters, nanoseconds: UInt64
  ) -> String? {
    guard let port = ports[index], port.bulk != nil,
      BulkWatch.isSuspect(from: before, to: now, nanoseconds: nanoseconds),
      let peer = try? port.peer ?? VethPeer.find(of: port.link), ports[index]!.bulk!.isBulk(peer, now)
    else { return nil }
    return BulkWatch.reason(tier.tier)
  }

  /// Why the kernel is better left alone, where more than `share` times the forwarded bytes had to be passed.
  static func mostlyPassed(from before: SlotCounters, to now: SlotCounters, share: UInt64) -> String? {
    var forwarded: UInt64 = 0
    var passed: [Verdict: UInt64] = [:]
    for (verdict, bytes) in now.bytes {
      let more = bytes - min(bytes, before.bytes[verdict] ?? 0)
      switch verdict.verdictClass {
      case .forwarded: forwarded += more
      case .passed: passed[verdict] = more
      default: break
      }
    }
    let all = passed.values.reduce(0, +)
    guard all > enough, all / share > forwarded, let most = passed.max(by: { $0.value < $1.value }) else {
      return nil
    }
    let percent = all * 100 / (all + forwarded)
    return "\(percent) % of its bytes are the kernel's to forward (mostly `\(most.key.name)`)"
  }
}
