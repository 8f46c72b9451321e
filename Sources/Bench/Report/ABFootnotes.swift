// SPDX-License-Identifier: Apache-2.0

/// What qualifies the figures: losses, tails, CPU time, the noise floor, what was dropped, what failed.
struct ABFootnotes {
  var report: ABReport
  var width = ABTable.width

  var lines: [String] {
    blocks.flatMap { block("\($0.title):", $0.entries) }
      + remarks.flatMap { [""] + $0.wrapped(width) }
  }

  /// What failed alone.
  var failureLines: [String] { block("Failed:", failures) }

  /// As nested lists, for Markdown.
  var markdown: [String] {
    blocks.filter { !$0.entries.isEmpty }.flatMap { block in
      ["", "\(ABMarkdown.cell(block.title)):"] + block.entries.map { "- \(ABMarkdown.cell($0))" }
    } + remarks.flatMap { ["", ABMarkdown.cell($0)] }
  }

  private var blocks: [(title: String, entries: [String])] {
    [
      ("CPU ns per packet (udp-rr: per round trip), all CPUs", cost),
      ("Round trips, µs (p50/p90/p99/p99.9/max)", tails),
      ("Noise floor, \(report.settings.baselineNetwork) against itself", noise),
      ("Tiers", tiers), ("Failed", failures),
    ]
  }

  private func block(_ title: String, _ entries: [String]) -> [String] {
    entries.isEmpty ? [] : ["", title] + entries.flatMap { ("  " + $0).wrappedEntry(width) }
  }

  /// One entry per row, its networks side by side.
  private func perRow(_ figure: (ABReport.Result) -> String?) -> [String] {
    var order: [String] = []
    var texts: [String: [String]] = [:]
    for result in report.results {
      guard let text = figure(result) else { continue }
      let label = ABTable.label(result.row)
      if texts[label] == nil { order.append(label) }
      texts[label, default: []].append("\(result.network) \(text)")
    }
    return order.map { "\($0): " + texts[$0]!.joined(separator: ", ") }
  }

  private var cost: [String] {
    perRow { result in
      let text =
        result.cpuNsPerPacket.map { Quantity.long($0) }
        ?? result.cpuNsPerByte.map { Quantity.long($0 * 1024) + "/KiB" }
      guard let text, let check = result.cpuCheckRatio else { return nil }
      // The meter changed what it measured: say by how much.
      return abs(check - 1) > 0.1 ? "\(text) [\(Quantity.number(check))×]" : text
    }
  }

  private var tails: [String] {
    perRow { result in
      guard let latency = result.latencyUs, result.metric == "round_trip_p50_us" else { return nil }
      return ["p50", "p90", "p99", "p99.9", "max"].compactMap { latency[$0].map(Quantity.long) }
        .joined(separator: "/")
    }
  }

  private var noise: [String] {
    report.noiseFloor.map { floor in
      let label = ABTable.label(floor.row)
      let bounds = floor.ci95.map(Quantity.number).joined(separator: "–")
      return "\(label): \(Quantity.number(floor.ratio))× (\(bounds))"
    }
  }

  private var tiers: [String] {
    var seen: [String] = []
    for result in report.results {
      guard let tier = result.tier else { continue }
      var text = "\(result.network): requested \(tier.requested), obtained \(tier.obtained)"
      // Of what goes to the container's own host nothing is the overlay's.
      if let share = tier.share, share < TierCount.leastShare, result.workload != "tcp-stream:host" {
        text += "; in \(ABTable.label(result.row)) it forwarded \(Quantity.percent(share)) of what it saw"
      }
      if !seen.contains(text) { seen.append(text) }
    }
    return seen
  }

  private var failures: [String] {
    var seen: [String] = []
    for result in report.results {
      guard let reason = result.failed else { continue }
      let text = "\(result.network): \(reason)"
      if !seen.contains(text) { seen.append(text) }
    }
    return seen
  }

  private var remarks: [String] {
    var remarks: [String] = []
    let dropped = report.comparisons.map(\.droppedPairs).reduce(0, +)
    if dropped > 0 {
      remarks.append(
        "Pairs dropped and repeated because the VM's CPUs moved between their trials: \(dropped).")
    }
    if report.settings.networks.contains(where: { $0.hasPrefix("flannel") || $0.hasPrefix("calico") }) {
      remarks.append(
        "flannel and calico are as Kubernetes has them: their chains and kube-proxy's on every host, netfilter on "
          + "bridges, and outer UDP checksums where the row does not say otherwise. Tiers on them run with "
          + "--policy connections.")
    }
    if let note = report.unsettledNote { remarks.append(note) }
    if let note = report.modesNote { remarks.append(note) }
    let changed = report.results.contains {
      ($0.cpuNsPerPacket ?? $0.cpuNsPerByte) != nil && abs(($0.cpuCheckRatio ?? 1) - 1) > 0.1
    }
    if changed {
      remarks.append(
        "[n×]: with the CPU meter running, the figure itself was n times the one without. Speeds come from "
          + "trials without it.")
    }
    if report.results.contains(where: {
      $0.cpuCheckRatio != nil && $0.cpuNsPerPacket == nil && $0.cpuNsPerByte == nil
    }) {
      remarks.append("CPU time per packet is missing where the machine was busy with other things.")
    }
    if report.comparisons.contains(where: { $0.pairs < RatioEstimate.pairsForVerdict }) {
      remarks.append("Fewer than \(RatioEstimate.pairsForVerdict) pairs support no verdict.")
    }
    if let leftOut = report.settings.leftOut {
      remarks.append("Left out for want of time (--quick): \(leftOut.joined(separator: ", ")).")
    }
    if report.settings.bypassPolicy {
      remarks.append(
        "As shipped, netfilter sees bridged packets; here it has no rules, and packets that `culvert up` forwards do not pass "
          + "through it.")
    }
    if !report.complete { remarks.append("INTERRUPTED: what is missing was not measured.") }
    return remarks
  }
}

extension String {
  /// A footnote's entry: wrapped under itself.
  fileprivate func wrappedEntry(_ width: Int) -> [String] {
    let indent = prefix { $0 == " " }.count
    return dropFirst(indent).description.wrapped(width - indent, indent: 2)
      .map { String(repeating: " ", count: indent) + $0 }
  }
}
