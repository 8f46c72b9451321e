// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import FastPath
import Foundation
import Glibc
import LinuxSystem

struct StatsCommand: CulvertCommand {
  static let configuration = CommandConfiguration(
    commandName: "stats", abstract: "Per port: in = forwarded + passed to the kernel + dropped, by reason.")

  @Option(help: "Only the overlays of this namespace: a name, a path or a PID.")
  var netns: String?
  @Flag(help: "Print JSON.")
  var json = false
  @Flag(help: "Print again every second, with rates, until interrupted.")
  var watch = false

  func execute() throws {
    let directories = try Overlays.directories(namespace: netns, all: netns == nil).filter {
      $0.owner?.isAlive == true
    }
    if directories.isEmpty { Terminal.note("no overlay is carried outside the kernel") }
    var before: [Stats] = []
    repeat {
      let now = try directories.map { try Overlays.stats($0) }
      if json {
        try Terminal.json(now)
      } else {
        for (index, stats) in now.enumerated() {
          Terminal.result(Self.render(stats, before: before.indices.contains(index) ? before[index] : nil))
        }
      }
      before = now
      if watch, !directories.isEmpty { sleep(1) }
    } while watch && !directories.isEmpty
  }

  /// A line a port and reason; with `before`, packets a second since then.
  static func render(_ stats: Stats, before: Stats?) -> String {
    var lines = ["\(stats.overlay) in \(stats.namespace)"]
    for port in stats.ports {
      let old = before?.ports.first { $0.index == port.index }
      func row(_ label: String, _ count: Stats.Count, _ earlier: Stats.Count?) -> String {
        let rate =
          before == nil
          ? ""
          : "\(count.packets >= (earlier?.packets ?? 0) ? count.packets - (earlier?.packets ?? 0) : count.packets)/s"
            .paddedLeft(16)
        return
          "  \(label.padded(30)) \(String(count.packets).paddedLeft(14)) \(String(count.bytes).paddedLeft(16)) B\(rate)"
      }
      lines.append(row("\(port.name) in", port.received, old?.received))
      let groups = [
        ("forwarded", port.forwarded, old?.forwarded), ("passed", port.passed, old?.passed),
        ("dropped", port.dropped, old?.dropped),
      ]
      for (label, counts, earlier) in groups {
        for (reason, count) in counts.sorted(by: { $0.key < $1.key }) {
          lines.append(row("  \(label) \(reason)", count, earlier?[reason]))
        }
      }
      let lost = [("not sent by this device", port.notSent), ("taken by no device", port.notRedirected)]
      for case (let what, let count?) in lost where count > 0 {
        lines.append("    forwarded, then \(what): \(count)")
      }
    }
    for (index, work) in (stats.workers ?? []).enumerated() {
      guard let burst = work.packetsPerBurst, let calls = work.callsPerPacket else { continue }
      lines.append(
        String(format: "  worker %d: %.1f packets at once, %.3f system calls a packet", index, burst, calls))
      if work.redirected > 0 {
        let rests = work.rests == 0 ? "" : "; \(work.rests) times too dear, and left for a second"
        lines.append("    left by redirection: \(work.redirected) packets\(rests)")
      }
    }
    return lines.joined(separator: "\n")
  }
}
