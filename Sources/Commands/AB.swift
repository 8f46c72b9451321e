// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Bench
import FastPath
import Foundation
import Glibc
import LinuxSystem

struct AB: CulvertCommand {
  static let configuration = CommandConfiguration(
    commandName: "ab",
    abstract: "Measure networks against each other, on labs of its own.",
    discussion: """
      Builds two hosts and their containers in namespaces, checks that each network carries traffic correctly, then \
      measures the networks in turns, paired in time. The table goes to standard output. Nothing of the labs stays.
      """)

  @Option(help: "Comma-separated: bare, vxlan, vxlan+TIER (default: these, with every tier).")
  var networks: String?
  @Option(
    help:
      "Comma-separated: packet-rate, packet-rate:encap, packet-rate:decap, udp-rr, tcp-rr, tcp-crr, udp-stream, tcp-stream (default: all)."
  )
  var workloads: String?
  @Option(help: "Comma-separated bytes: UDP payload, TCP write, inner frame (default: by workload).")
  var sizes: String?
  @Option(help: "Comma-separated numbers of parallel flows, 1 to 8, of udp-stream and tcp-stream (default: 1).")
  var flows: String?
  @Option(help: "Of the containers' interfaces and the wire: on, off or both (default: by workload).")
  var offloads: String?
  @Option(help: "Pairs of trials per comparison.")
  var repeats: Int?
  @Option(help: "Seconds that a trial counts.")
  var duration: Double?
  @Option(help: "The network that the others are compared with.")
  var baseline = "vxlan"
  @Flag(help: "Leave the kernel's network as it ships: bridge netfilter on, outer UDP checksums on.")
  var asShipped = false
  @Option(help: "Both ends on one CPU or on two: one-core, two-core or both (default: by workload).")
  var placement: String?
  @Flag(help: "Fewer and shorter trials, each workload once: under three minutes.")
  var quick = false
  @Option(help: "Write the result there as JSON, after each comparison and at the end.")
  var json: String?

  func execute() throws {
    let plan = try Plan(request(), tiers: Tier.allCases.map(\.rawValue))
    guard geteuid() == 0 else {
      throw Failure("measure", "networks", errno: .notPermitted, advice: "Run as root: it builds namespaces.")
    }
    for note in plan.notes { Terminal.note(note) }
    let interruption = try Interruption()
    let arena = LabArena(
      LabArena.Settings(
        duration: plan.duration, warmUp: plan.warmUp, asShipped: asShipped, searchSteps: quick ? 6 : 8,
        searchDuration: quick ? 0.1 : 0.2),
      drivers: Tier.allCases.map { .fastPath($0, bypassPolicy: asShipped) })
    let progress = LiveProgress()
    var campaign = Campaign(
      schedule: Schedule(baseline: plan.baseline, networks: plan.networks), cells: plan.cells,
      repeats: plan.repeats, searchRepeats: plan.searchRepeats, measuresCost: true, arena: arena)
    campaign.isInterrupted = { interruption.happened }
    campaign.onProgress = { progress.show($0) }
    if let json { campaign.onCell = { try $0.write(to: json) } }
    var report = ABReport(environment: environment(), settings: settings(plan))
    // A path that cannot be written is known before the first trial, not after the last.
    if let json { try report.write(to: json) }
    defer { progress.clear() }
    do {
      try campaign.run(&report)
    } catch {
      try? arena.close()
      throw error
    }
    try arena.close()
    progress.clear()
    let isColoured = isatty(1) == 1 && ProcessInfo.processInfo.environment["NO_COLOR"].map(\.isEmpty) ?? true
    FileHandle.standardOutput.write(Data(ABTable(report, coloured: isColoured).text.utf8))
    if report.results.contains(where: { $0.failed != nil }) || !report.complete {
      throw ExitCode(ExitStatus.failed.rawValue)
    }
  }

  private func environment() -> ABReport.Environment {
    ABReport.Environment(
      machine: .read(), baseline: asShipped ? "as-shipped" : "tuned",
      offloads: [
        "on":
          "as the kernel makes them, and GRO on the wire; packet-rate: at the port of the sending container too",
        "off":
          "no checksum or segmentation offload in the containers and on the wire; GRO there merges nothing",
      ])
  }

  private func settings(_ plan: Plan) -> ABReport.Settings {
    var pinning: [String: [String: Int]] = [
      "packet-rate": ["generator": Placement.oneCore.clientCPU, "worker": Placement.liveFramesWorkerCPU]
    ]
    for placement in Placement.allCases {
      pinning[placement.rawValue] = [
        "client": placement.clientCPU, "server": placement.serverCPU,
        "client_host_worker": placement.clientCPU, "server_host_worker": placement.serverCPU,
      ]
    }
    return ABReport.Settings(
      repeats: plan.repeats, durationS: plan.duration, pinning: pinning,
      baselineNetwork: plan.baseline.description, networks: plan.networks.map(\.description),
      bypassPolicy: asShipped && plan.networks.contains { $0.tier != nil })
  }
}
