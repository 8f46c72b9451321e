// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Bench
import DataPlane
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

  @Option(
    help:
      "Comma-separated, or all: bare, host, container, bridge, nat, none, vxlan, vxlan@as-shipped, flannel, calico; vxlan, flannel and calico also with +TIER, bridge with +tc (default: bare, vxlan and every tier on it).",
    completion: .list(["all"] + Network.all(tiers: Self.tiers))
  )
  var networks: String?
  @Option(
    help:
      "Comma-separated: packet-rate, packet-rate:encap, packet-rate:decap, udp-rr, tcp-rr, tcp-crr, udp-stream, udp-stream:batches, tcp-stream, tcp-stream:host; bulk, all-to-all and launch, where named; to a service's address on flannel and calico udp-rr:service, tcp-rr:service, tcp-crr:service, udp-stream:service, tcp-stream:service (default: all).",
    completion: .list(["packet-rate"] + Measure.workloads + Measure.furtherWorkloads)
  )
  var workloads: String?
  @Option(help: "Comma-separated bytes: UDP payload, TCP write, inner frame (default: by workload).")
  var sizes: String?
  @Option(
    help: "Comma-separated numbers of parallel flows, 1 to 8, of streams (default: 1).")
  var flows: String?
  @Option(help: "Of the containers' interfaces and the wire: on, off or both (default: by workload).")
  var offloads: String?
  @Option(help: "Pairs of trials per comparison.")
  var repeats: Int?
  @Option(help: "Seconds that a trial counts.")
  var duration: Double?
  @Option(help: "The network that the others are compared with.")
  var baseline = "vxlan"
  @Flag(
    help:
      "Leave every network as it ships: bridge netfilter on, outer UDP checksums on, as flannel and calico always are. (To have such an overlay beside the tuned one: --networks vxlan@as-shipped,…)"
  )
  var asShipped = false
  @Option(
    help:
      "Of the VXLAN devices: on or off (default: off, which is faster for the kernel; on as shipped and on flannel and calico; --quick has a row with it on)."
  )
  var outerChecksum: String?
  @Option(
    help:
      "Comma-separated: attach a tier to both hosts, to the sender's only, or to the receiver's (default: both; --quick has tcp-stream with each)."
  )
  var ends: String?
  @Option(
    help: "Both ends on one CPU or on two: one-core, two-core or both (default: by workload).",
    completion: .list(["one-core", "two-core", "both"]))
  var placement: String?
  @Option(
    help:
      "Tier afxdp: what its workers do without packets: \(WaitMode.allCases.map(\.rawValue).joined(separator: ", "))."
  )
  var wait = WaitMode.adaptive
  @Flag(
    help:
      "The main rows with fewer and shorter trials, without loss-free rates and CPU time: some four minutes."
  )
  var quick = false
  @Option(
    help: ArgumentHelp(
      "Exit with status 2 if a row of NETWORK and WORKLOAD falls below RATIO times the baseline's speed, with all of its 95 % interval and by more than the noise floor; repeatable.",
      discussion:
        "A ratio of speeds, so more is better of every workload: of latency it is the baseline's over the network's. vxlan+tc:udp-rr:1.33 asks for round trips of at most 1/1.33 of the baseline's; WORKLOAD all is every row. vxlan+afxdp:overload:0.9 asks that no trial of packet-rate, which offers more than a path takes, fall below 0.9 of the network's own loss-free rate.",
      valueName: "network:workload:ratio"))
  var failBelow: [String] = []
  @Option(help: "Write the result there as JSON, after each comparison and at the end.")
  var json: String?
  @OptionGroup var forms: ReportForms
  @Flag(help: "Keep the rows that are whole in the file of --json, and measure the others.")
  var resume = false

  private static let tiers = Tier.allCases.map(\.rawValue) + [Network.automatic]

  func execute() throws {
    let request = try self.request()
    let plan = try Plan(request, tiers: Self.tiers)
    let thresholds = try failBelow.map { try Threshold(parsing: $0, plan: plan) }
    var report = ABReport(
      environment: .init(asShipped: asShipped, outerChecksum: request.outerChecksum),
      settings: .init(plan, asShipped: asShipped))
    try takeUp(&report)
    guard geteuid() == 0 else {
      throw Failure("measure", "networks", errno: .notPermitted, advice: "Run as root: it builds namespaces.")
    }
    announce(plan, report)
    let interruption = try Interruption()
    var arenaSettings = LabArena.Settings(plan, asShipped: asShipped)
    arenaSettings.outerChecksum = request.outerChecksum
    let arena = LabArena(
      arenaSettings,
      drivers: (Tier.allCases + [nil]).map { .fastPath($0, bypassPolicy: asShipped, wait: wait) })
    let progress = LiveProgress()
    var campaign = Campaign(plan, on: arena)
    campaign.isInterrupted = { interruption.happened }
    campaign.onProgress = { progress.show($0) }
    if let json {
      try ResultFile.check(json)
      // A disk that is full now may not be at the end, and the table needs none.
      campaign.onCell = { try? ResultFile.write($0.encoded(), to: json, isQuiet: true) }
    }
    try forms.check()
    defer { progress.clear() }
    do {
      try campaign.run(&report)
    } catch {
      try? arena.close()
      throw error
    }
    try arena.close()
    progress.clear()
    try Terminal.table(report)
    if let json { try ResultFile.write(report.encoded(), to: json) }
    try forms.write(report)
    let misses = thresholds.flatMap { $0.misses(in: report) }
    for miss in misses { Terminal.note("below --fail-below: \(miss)") }
    if !misses.isEmpty { throw ExitCode(ExitStatus.missedThreshold.rawValue) }
    if report.results.contains(where: { $0.failed != nil }) || !report.complete {
      throw ExitCode(ExitStatus.failed.rawValue)
    }
  }
}
