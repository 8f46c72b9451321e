// SPDX-License-Identifier: Apache-2.0
import FastPath

extension Stats.Count {
  /// What was added; all of it where there is no earlier reading, or where a port's counters began again.
  func since(_ earlier: Stats.Count?) -> Stats.Count {
    guard let earlier, packets >= earlier.packets, bytes >= earlier.bytes else { return self }
    return Stats.Count(packets: packets - earlier.packets, bytes: bytes - earlier.bytes)
  }

  fileprivate func rated(_ earlier: Stats.Count?, _ seconds: Double) -> Stats.Count {
    let added = since(earlier)
    var count = self
    count.packetsPerSecond = Double(added.packets) / seconds
    count.bitsPerSecond = Double(added.bytes) * 8 / seconds
    return count
  }

  static func + (a: Stats.Count, b: Stats.Count) -> Stats.Count {
    Stats.Count(packets: a.packets + b.packets, bytes: a.bytes + b.bytes)
  }
}

extension Stats.Port {
  /// By class, in the order in which they are shown.
  var classes: [(label: String, counts: [String: Stats.Count])] {
    [("forwarded", forwarded), ("passed", passed), ("dropped", dropped)]
  }

  var allForwarded: Stats.Count { forwarded.values.reduce(Stats.Count(), +) }
}

extension Stats {
  /// With each count's rates since an earlier reading; without one, or without a time between, as it is.
  func rated(since before: Stats?, seconds: Double?) -> Stats {
    guard let before, let seconds, seconds > 0 else { return self }
    var stats = self
    stats.ports = ports.map { port in
      let old = before.ports.first { $0.index == port.index }
      var port = port
      port.received = port.received.rated(old?.received, seconds)
      func all(_ counts: [String: Count], _ earlier: [String: Count]?) -> [String: Count] {
        counts.reduce(into: [:]) { $0[$1.key] = $1.value.rated(earlier?[$1.key], seconds) }
      }
      port.forwarded = all(port.forwarded, old?.forwarded)
      port.passed = all(port.passed, old?.passed)
      port.dropped = all(port.dropped, old?.dropped)
      return port
    }
    return stats
  }
}
