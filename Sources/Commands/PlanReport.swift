// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import FastPath
import LinuxSystem

/// `up --dry-run`: what would be served, and what not.
struct PlanReport {
  let plans: [OverlayPlan]
  init(_ plans: [OverlayPlan]) { self.plans = plans }

  /// Throws status 69 where nothing would be served.
  func show(json: Bool) throws {
    if json {
      try Terminal.json(plans)
    } else {
      if plans.isEmpty { Terminal.note("no VXLAN device is here") }
      for plan in plans { try Terminal.result(Self.render(plan)) }
    }
    guard plans.contains(where: \.isServed) else { throw ExitCode(ExitStatus.unavailable.rawValue) }
  }

  static func render(_ plan: OverlayPlan) -> String {
    let name = "\(plan.overlay) in \(plan.namespace)"
    if let reason = plan.reason { return "\(name): would not be served: \(reason)" }
    let containers = plan.ports.filter { $0.role == "container" }
    let served = containers.count { $0.reason == nil }
    var lines = [
      "\(name): would serve \(served) of \(counted(containers.count, "port", "ports")), tier \(plan.tier) \(plan.mode)"
    ]
    if !plan.vxlan.isEmpty, plan.vxlan != plan.overlay { lines.append("  \(plan.overlay) + \(plan.vxlan) (VNI \(plan.vni)) over \(plan.uplink)") }
    let first = plan.ports.first
    for port in plan.ports {
      let isSame = port.name != first?.name && port.reason == first?.reason
      let what = port.reason.map { isSame ? "kernel, as \(first!.name)" : "kernel: \($0)" } ?? (port.changes.isEmpty ? "a program" : "a program, and:")
      lines.append("  \(port.name.padded(16)) \(port.role.padded(10)) \(what)")
      if port.reason == nil { lines += port.changes.map { "    would set \($0)" } }
    }
    for (ip, reason) in (plan.left ?? [:]).sorted(by: { $0.key < $1.key }) {
      lines.append("  \(ip) inside would be left to the kernel: \(reason)")
    }
    return lines.joined(separator: "\n")
  }
}
