// SPDX-License-Identifier: Apache-2.0
import DataPlane
import FastPath
import Foundation

/// The counters of one overlay: a line a port with the share of it that was forwarded, a line a reason with its share of
/// what came in, and the total.
struct StatsTable {
  private let stats: Stats

  init(_ stats: Stats) { self.stats = stats }

  var text: String {
    (["\(stats.overlay) in \(stats.namespace)"] + stats.ports.flatMap(lines) + total + workers)
      .joined(separator: "\n")
  }

  private func lines(_ port: Stats.Port) -> [String] {
    let all = port.received.packets
    var lines = [row("  \(port.name) in", port.received) + Self.forwarded(port.allForwarded.packets, of: all)]
    for (label, counts) in port.classes {
      for (reason, count) in counts.sorted(by: { $0.key < $1.key }) {
        lines.append(row("    \(label) \(reason)", count) + Self.share(count.packets, of: all))
      }
    }
    return lines + Self.lost(port)
  }

  private var total: [String] {
    guard stats.ports.count > 1 else { return [] }
    let all = stats.ports.reduce(Stats.Count()) { $0 + $1.received }
    let forwarded = stats.ports.reduce(0) { $0 + $1.allForwarded.packets }
    return [row("  all ports in", all) + Self.forwarded(forwarded, of: all.packets)]
  }

  private func row(_ label: String, _ count: Stats.Count) -> String {
    label.padded(31) + String(count.packets).paddedLeft(14) + "\(count.bytes) B".paddedLeft(19)
  }

  // MARK: - Shared with what is shown again and again

  static func share(_ part: UInt64, of all: UInt64) -> String {
    all == 0 ? "" : String(format: "%.1f %%", 100 * Double(part) / Double(all)).paddedLeft(9)
  }

  static func forwarded(_ part: UInt64, of all: UInt64) -> String {
    all == 0 ? "" : share(part, of: all) + " forwarded"
  }

  /// What no share is of: it was forwarded, and then lost.
  static func lost(_ port: Stats.Port) -> [String] {
    [("not sent by this device", port.notSent), ("not redirected to any device", port.notRedirected)]
      .compactMap { what, count in
        count.flatMap { $0 > 0 ? "    \(port.name) forwarded, then \(what): \($0)" : nil }
      }
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
      let direct =
        (work.direct ?? 0) == 0 ? [] : ["    few at a time, forwarded without a worker: \(work.direct!) packets"]
      guard let burst = work.packetsPerBurst, let calls = work.callsPerPacket else { return direct }
      let backoffs =
        work.backoffs == 0
        ? "" : "; too slow \(counted(Int(work.backoffs), "time", "times")), the sockets then sent for a second"
      return [
        String(format: "  worker %d: %.1f packets a burst, %.3f system calls a packet", index, burst, calls)
      ] + (work.redirected > 0 ? ["    sent by redirection: \(work.redirected) packets\(backoffs)"] : []) + direct
    }
  }
}
