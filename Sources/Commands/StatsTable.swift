// SPDX-License-Identifier: Apache-2.0
import DataPlane
import FastPath
import Foundation

/// The counters of one overlay: a line a port and reason, with its share of what came in; with an earlier reading,
/// the rates and shares since then.
struct StatsTable {
  private let stats: Stats
  private let before: Stats?
  private let seconds: Double?

  init(_ stats: Stats, before: Stats? = nil, seconds: Double? = nil) {
    self.stats = stats
    self.before = before
    self.seconds = before == nil ? nil : seconds
  }

  var text: String {
    (["\(stats.overlay) in \(stats.namespace)"] + stats.ports.flatMap(lines) + workers).joined(
      separator: "\n")
  }

  private func lines(_ port: Stats.Port) -> [String] {
    let old = before?.ports.first { $0.index == port.index }
    let all = since(port.received, old?.received)
    var lines = [row("  \(port.name) in", port.received, all, of: nil)]
    let groups = [
      ("forwarded", port.forwarded, old?.forwarded), ("passed", port.passed, old?.passed),
      ("dropped", port.dropped, old?.dropped),
    ]
    for (label, counts, earlier) in groups {
      for (reason, count) in counts.sorted(by: { $0.key < $1.key }) {
        lines.append(row("    \(label) \(reason)", count, since(count, earlier?[reason]), of: all.packets))
      }
    }
    let lost = [("not sent by this device", port.notSent), ("not redirected to any device", port.notRedirected)]
    for case (let what, let count?) in lost where count > 0 {
      lines.append("    forwarded, then \(what): \(count)")
    }
    return lines
  }

  /// What was added; all of it where there is no earlier reading, or where a port's counters began again.
  private func since(_ count: Stats.Count, _ earlier: Stats.Count?) -> Stats.Count {
    guard let earlier, count.packets >= earlier.packets, count.bytes >= earlier.bytes else { return count }
    return Stats.Count(packets: count.packets - earlier.packets, bytes: count.bytes - earlier.bytes)
  }

  private func row(_ label: String, _ count: Stats.Count, _ added: Stats.Count, of all: UInt64?) -> String {
    var text =
      label.padded(31) + String(count.packets).paddedLeft(14) + "\(count.bytes) B".paddedLeft(19)
    if let seconds, seconds > 0 {
      text += Self.scaled(Double(added.packets) / seconds, "/s").paddedLeft(12)
      text += Self.scaled(Double(added.bytes) * 8 / seconds, "b/s").paddedLeft(13)
    }
    if let all, all > 0 {
      text += String(format: "%.1f %%", 100 * Double(added.packets) / Double(all)).paddedLeft(9)
    }
    return text
  }

  /// As in "98.7 k/s".
  static func scaled(_ value: Double, _ unit: String) -> String {
    let steps = [(1e9, "G"), (1e6, "M"), (1e3, "k")]
    guard let (size, letter) = steps.first(where: { value >= $0.0 }) else {
      return String(format: "%.0f %@", value, unit)
    }
    let scaled = value / size
    return String(
      format: scaled < 10 ? "%.2f %@" : scaled < 100 ? "%.1f %@" : "%.0f %@", scaled, letter + unit)
  }

  private var workers: [String] {
    (stats.workers ?? []).enumerated().flatMap { index, work -> [String] in
      guard let burst = work.packetsPerBurst, let calls = work.callsPerPacket else { return [] }
      let backoffs =
        work.backoffs == 0
        ? "" : "; too slow \(counted(Int(work.backoffs), "time", "times")), the sockets then sent for a second"
      return [
        String(format: "  worker %d: %.1f packets a burst, %.3f system calls a packet", index, burst, calls)
      ] + (work.redirected > 0 ? ["    sent by redirection: \(work.redirected) packets\(backoffs)"] : [])
    }
  }
}
