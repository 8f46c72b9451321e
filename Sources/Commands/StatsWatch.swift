// SPDX-License-Identifier: Apache-2.0
import FastPath
import Foundation

/// The counters of one overlay again and again, at most 80 columns wide: a line a port and the total above, the reasons
/// below in the order in which they first occurred, so that what a reader looks at stays where it is.
struct StatsWatch {
  private struct Key: Hashable {
    var port: Int32
    var label: String
    var reason: String
  }
  private var order: [Key] = []
  private var before: Stats?

  /// - Parameter seconds: since the last reading; nil: there is none.
  mutating func text(_ stats: Stats, seconds: Double?) -> String {
    let rated = stats.rated(since: before, seconds: seconds)
    let old = seconds == nil ? nil : before
    before = stats
    for port in stats.ports {
      for (label, counts) in port.classes {
        for reason in counts.keys.sorted() {
          let key = Key(port: port.index, label: label, reason: reason)
          if !order.contains(key) { order.append(key) }
        }
      }
    }
    order.removeAll { key in !stats.ports.contains { $0.index == key.port } }
    var lines = ["\(stats.overlay) in \(stats.namespace)"]
    var (all, forwarded) = (Stats.Count(), Stats.Count())
    var (packets, bits): (Double?, Double?) = (nil, nil)
    for port in rated.ports {
      let earlier = old?.ports.first { $0.index == port.index }
      let came = port.received.since(earlier?.received)
      let taken = port.allForwarded.since(earlier?.allForwarded)
      lines.append(Self.row("  \(port.name) in", port.received) + StatsTable.forwarded(taken.packets, of: came.packets))
      (all, forwarded) = (all + came, forwarded + taken)
      if let rate = port.received.packetsPerSecond { packets = (packets ?? 0) + rate }
      if let rate = port.received.bitsPerSecond { bits = (bits ?? 0) + rate }
    }
    var total = rated.ports.reduce(Stats.Count()) { $0 + $1.received }
    (total.packetsPerSecond, total.bitsPerSecond) = (packets, bits)
    lines.append(Self.row("  all ports in", total) + StatsTable.forwarded(forwarded.packets, of: all.packets))
    for key in order {
      guard let port = rated.ports.first(where: { $0.index == key.port }),
        let count = port.classes.first(where: { $0.label == key.label })?.counts[key.reason]
      else { continue }
      let earlier = old?.ports.first { $0.index == key.port }
      let came = port.received.since(earlier?.received)
      let added = count.since(earlier?.classes.first { $0.label == key.label }?.counts[key.reason])
      lines.append(
        Self.row("    \(port.name) \(key.label) \(key.reason)", count)
          + StatsTable.share(added.packets, of: came.packets))
    }
    return (lines + stats.ports.flatMap(StatsTable.lost)).joined(separator: "\n")
  }

  private static func row(_ label: String, _ count: Stats.Count) -> String {
    var text = label.padded(29) + String(count.packets).paddedLeft(max(1, 41 - max(29, label.count)))
    if let packets = count.packetsPerSecond, let bits = count.bitsPerSecond {
      text += StatsTable.scaled(packets, "/s").paddedLeft(9) + StatsTable.scaled(bits, "b/s").paddedLeft(10)
    }
    return text
  }
}
