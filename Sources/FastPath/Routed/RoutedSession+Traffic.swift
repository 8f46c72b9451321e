// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import Netlink

/// Devices whose traffic mostly has to be left to the kernel, or is better left to it, are given back: a program there
/// takes segmentation offload from their other ends.
extension RoutedSession {
  static let trafficInterval: UInt64 = 100_000_000

  var watchesTraffic: Bool { !tier.keepsSegments && ports.values.contains { $0.slot != nil } }
  var watchesBulk: Bool { !tier.keepsSegments && !options.carriesBulk }

  func watchTraffic(now: UInt64) throws {
    guard now >= watchedAt &+ Self.trafficInterval else { return }
    let elapsed = now - watchedAt
    watchedAt = now
    // What is passed until connections are judged says nothing of what will be.
    let isJudging = connections.values.contains { $0.mode == .undecided }
    let bytes = try tier.tables.countedBytes(age: Self.trafficInterval / 2)
    var isChanged = false
    for (index, port) in ports where port.slot != nil && port.reason == nil {
      if Int(port.slot!) < bytes.count, bytes[Int(port.slot!)] == port.seen.allBytes { continue }
      let counted = try tier.counters(slot: port.slot!)
      defer { ports[index]?.seen = counted }
      guard !isJudging,
        let reason = Engine.mostlyPassed(from: port.seen, to: counted, share: 4)
          ?? bulkReason(index, to: counted, nanoseconds: elapsed)
      else { continue }
      backOff(index, reason)
      isChanged = true
    }
    let wasAttached = uplinkPort.isAttached
    _ = try uplinkPort.watchTraffic(now: now, isJudged: !isJudging)
    if isChanged || wasAttached != uplinkPort.isAttached { try refresh() }
  }

  private func bulkReason(_ index: Int32, to counted: SlotCounters, nanoseconds: UInt64) -> String? {
    guard let port = ports[index], port.bulk != nil, let peer = port.peer,
      BulkWatch.isSuspect(from: port.seen, to: counted, nanoseconds: nanoseconds), ports[index]!.bulk!.isBulk(peer, counted)
    else { return nil }
    return BulkWatch.reason(tier.tier)
  }

  /// Why ports wait: what they sent by a program of theirs could not leave by one.
  var uplinkReason: String? {
    guard !uplinkPort.isAttached, let backoff = uplinkPort.backoff, !backoff.isOver(now: Clock.monotonicNanoseconds) else {
      return nil
    }
    return "\(uplink.name) \(backoff.description)"
  }
}
