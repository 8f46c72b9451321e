// SPDX-License-Identifier: Apache-2.0
import Bench
import FastPath
import Foundation
import LinuxSystem

/// What a result says of itself, and where it goes on.
extension ABReport.Environment {
  init(asShipped: Bool, outerChecksum: Bool? = nil) {
    self.init(
      machine: .read(), baseline: asShipped ? "as-shipped" : "tuned",
      offloads: [
        "on":
          "as the kernel makes them, and GRO on the wire; packet-rate: at the port of the sending container too",
        "off":
          "no checksum or segmentation offload in the containers and on the wire",
      ], outerChecksum: outerChecksum ?? asShipped ? "on" : "off")
  }
}

extension ABReport.Settings {
  init(_ plan: Plan, asShipped: Bool) {
    var pinning: [String: [String: Int]] = [
      "packet-rate": ["generator": Placement.oneCore.clientCPU, "worker": Placement.liveFramesWorkerCPU]
    ]
    for placement in Placement.allCases {
      pinning[placement.rawValue] = [
        "client": placement.clientCPU, "server": placement.serverCPU,
        "client_host_worker": placement.clientCPU, "server_host_worker": placement.serverCPU,
      ]
    }
    self.init(
      repeats: plan.repeats, durationS: plan.duration, pinning: pinning,
      baselineNetwork: plan.baseline.description, networks: plan.networks.map(\.description),
      bypassPolicy: asShipped && plan.networks.contains { $0.tier != nil })
    warmUpS = plan.warmUp
    quick = plan.isQuick
    leftOut = plan.leftOut.isEmpty ? nil : plan.leftOut
  }
}

extension AB {
  /// --resume: what the file holds already.
  func takeUp(_ report: inout ABReport) throws(Failure) {
    guard resume else { return }
    guard let json else {
      throw Failure("resume", "without a file", advice: "Give --json FILE too.", status: .usage)
    }
    let data = try ResultFile.read(json, of: "`culvert ab --json`, or leave --resume out", status: .usage)
    guard let earlier = try? ABReport.decoded(data), earlier.schema == ABReport.schemaName else {
      throw ResultFile.misfit(data, json, of: "`culvert ab --json`", schemas: [ABReport.schemaName])
    }
    try report.resume(earlier)
  }

  /// What will be done and how long that takes, on standard error.
  func announce(_ plan: Plan, _ report: ABReport) {
    for note in plan.notes { Terminal.note(note) }
    if !plan.leftOut.isEmpty {
      Terminal.note("--quick leaves out \(plan.leftOut.joined(separator: " and "))")
    }
    Terminal.estimate(plan, report)
  }
}

extension Terminal {
  static func estimate(_ plan: Plan, _ report: ABReport) {
    func isHeld(_ cell: Cell) -> Bool { report.holds(cell, of: plan.networks(of: cell)) }
    let held = plan.cells.count(where: isHeld)
    let estimate = Estimate(plan, isHeld: isHeld)
    let rows = counted(plan.cells.count, "row", "rows") + (held > 0 ? " (\(held) kept)" : "")
    note("\(plan.networks.count) networks, \(rows), \(estimate.trials) trials: \(estimate.text)")
  }
}
