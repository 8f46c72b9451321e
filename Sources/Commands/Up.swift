// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import DataPlane
import FastPath
import Foundation
import LinuxSystem

struct Up: CulvertCommand {
  static let configuration = CommandConfiguration(
    abstract: "Forward the packets of overlays outside the kernel's stack, until told to stop.",
    discussion: """
      Attaches to every overlay that it finds, now and later, or to those that --overlay names, mirrors \
      the kernel's tables and forwards packets whose source and destination are known; all others go to the kernel. Stays in the foreground until SIGINT, SIGTERM or `culvert down`. \
      If it dies, the kernel's path carries on at once.
      """)

  @Option(
    help:
      "A bridge, the VXLAN device that is a port of it (tc serves a bridge alone too), or a VXLAN device that is routed to (flannel, Calico); may be repeated (default: every overlay that is found, now and later).",
    completion: .overlays
  )
  var overlay: [String] = []
  @Option(help: "Network namespace of the overlays: a name, a path or a PID.", completion: .namespaces)
  var netns: String?
  @Flag(help: "Serve the overlays of every namespace that a process or a mount holds, Docker's among them.")
  var allNamespaces = false
  @Option(help: "The underlay's interface (default: the VXLAN device's own, or by its route).", completion: .interfaces)
  var uplink: String?
  @Option(help: "Network namespace of the uplink (default: the VXLAN device's underlay).", completion: .namespaces)
  var uplinkNetns: String?
  @Option(
    help: "Where packets are processed: \(Self.tiers); auto is tc.", completion: .tiers
  )
  var tier: String = "auto"
  @Flag(help: "Attach XDP on the skb instead of in the driver: slower, for drivers without XDP.")
  var generic = false
  @Flag(help: "Also drop VXLAN from senders that are no configured VTEP of the VNI.")
  var strict = false
  @Flag(
    help:
      "Dangerous: forwarded packets skip the firewalls, filters and queueing disciplines that `up` then names. STP, VLAN filtering and IPsec are never overridden."
  )
  var bypassPolicy = false
  @Option(
    help:
      "Routed overlays whose host has netfilter rules about forwarded packets: kernel (it forwards them all) or connections (of connections that conntrack has as established, packets pass the rules by, as with nftables' flowtables)."
  )
  var policy: ForwardPolicy = .kernel
  @Option(
    help:
      "Outer UDP checksum of TCP segments, where the VXLAN device sends checksums: auto (zero, as RFC 7348 section 5 asks) or exact (they are left to the kernel)."
  )
  var outerChecksum: OuterChecksum = .auto
  @Option(help: "Capacity for forwarding entries; what does not fit is left to the kernel.")
  var entries: UInt32 = 131_072
  @Option(
    help:
      "Tier afxdp: what an idle worker does: \(WaitMode.allCases.map(\.rawValue).joined(separator: ", ")) (default: adaptive)."
  )
  var wait: WaitMode?
  @Option(help: "Tier afxdp: number of workers; each needs a queue of the uplink and of every port (default: 1).")
  var workers: Int?
  @Option(
    help:
      "Tier afxdp: the CPUs that its workers are pinned to, as in 1,2 (default: wherever the scheduler puts them)."
  )
  var cpus: String?
  @Flag(
    help:
      "Tier afxdp: leave the containers' interfaces as they are, and complete their checksums in the workers."
  )
  var keepOffloads = false
  @Flag(
    help:
      "Tiers xdp and afxdp: forward bulk TCP too, which the kernel forwards faster, in segments; otherwise such a port is left to the kernel."
  )
  var carryBulk = false
  @Flag(
    help:
      "Print what would be served, what that would change and every reason against it; change nothing. Status 69 where nothing would be served."
  )
  var dryRun = false
  @Flag(help: "With --dry-run: print JSON.")
  var json = false
  @Flag(
    help:
      "Return once packets are forwarded; the fast path keeps running in the background. Status 69 and the reason where nothing can be forwarded."
  )
  var detach = false
  @Flag(help: "With --detach: keep running although nothing can be forwarded yet, and begin once the reason is gone.")
  var waitForTraffic = false
  @Flag(help: .hidden)
  var background = false
  /// As on a kernel before 6.6; for tests.
  @Flag(help: .hidden)
  var withoutTcx = false

  /// Tiers that are designed, and not in this version.
  private static let later = ["hybrid"]
  private static let tiers = (["auto"] + Tier.allCases.map(\.rawValue)).joined(separator: ", ")

  func validate() throws {
    if let cpus, cpuList.count != cpus.split(separator: ",").count {
      throw ValidationError("--cpus \(cpus) is not a list of CPU numbers, as in 1,2.")
    }
    guard tier == "auto" || Tier(rawValue: tier) != nil || Self.later.contains(tier) else {
      throw ValidationError(
        "--tier \(tier) is not one of: \(Self.tiers).")
    }
    if allNamespaces, !overlay.isEmpty {
      throw ValidationError("--all-namespaces serves what is found; --overlay names what is to be served.")
    }
    if dryRun, detach { throw ValidationError("--dry-run starts nothing; leave out --detach.") }
    if json, !dryRun { throw ValidationError("--json is for --dry-run; of what runs, see `culvert status --json`.") }
    if waitForTraffic, !detach, !background {
      throw ValidationError("--wait-for-traffic is for --detach: in the foreground `up` waits anyway.")
    }
    guard entries > 0 else { throw ValidationError("--entries must be positive.") }
    for (option, isGiven) in [("wait", wait != nil), ("workers", workers != nil), ("cpus", cpus != nil)]
    where isGiven && tier != Tier.afxdp.rawValue {
      throw ValidationError("--\(option) is for --tier afxdp: the others have no workers.")
    }
  }

  func execute() throws {
    guard !Self.later.contains(tier) else {
      throw Failure("use tier", tier, advice: "This version has: \(Self.tiers).", status: .unavailable)
    }
    if dryRun { return try PlanReport(FastPathService.plan(options)).show(json: json) }
    if detach { return try Background.spawn() }
    if background { Background.takeName() }
    let signals = SignalWait()
    let service: FastPathService
    switch try begin() {
    case .started(let started): service = started
    case .joined(let joined): return try sayJoined(joined)
    }
    defer { withExtendedLifetime(service) {} }
    let statuses = try service.statuses()
    if background, !waitForTraffic, let reason = try Self.blocked(statuses, try service.refused()) {
      try service.stop()
      throw Self.nothing(statuses, reason)
    }
    sayReady(statuses)
    ServiceManager.notifyReady()
    if background { try Background.ready() }
    let ended = try DedicatedThread {
      try? service.waitUntilEnded()
      signals.interrupt()
    }
    if let signal = signals.wait() {
      Terminal.note("\(signal): stopping the fast path")
      try service.stop()
    }
    ended.join()
    try service.waitUntilEnded()
    Terminal.note("the kernel forwards \(overlay.isEmpty ? "everything" : overlay.joined(separator: ", "))")
    if background { EndRecord.removeLog(of: getpid()) }
  }

  private func begin() throws -> FastPathService.Begun {
    guard background else { return .started(try FastPathService.start(options) { Terminal.note($0) }) }
    return try FastPathService.startOrJoin(options) { Terminal.note($0) }
  }

  private func sayJoined(_ joined: Joined) throws {
    if !waitForTraffic, let reason = try Self.blocked(joined.statuses, []) {
      try joined.leave()
      throw Self.nothing(joined.statuses, reason)
    }
    sayReady(joined.statuses)
    if let pid = joined.statuses.first?.pid {
      Terminal.note("served by process \(pid), whose uplink it is, log \(Owner.logPath(of: pid))")
    }
    Background.done()
  }

  private static func nothing(_ statuses: [Status], _ reason: String) -> Failure {
    Failure(
      "forward", statuses.isEmpty ? "any overlay" : statuses.map(\.bridge).joined(separator: ", "),
      advice: "\(reason)\n  Nothing was changed. Remove the reason, or start with --wait-for-traffic.",
      status: .unavailable)
  }

  /// Why nothing can be carried at present; nil where something can.
  private static func blocked(_ statuses: [Status], _ refused: [Status.Refused]) throws -> String? {
    let refusals = refused.map { "\($0.overlay) in \($0.namespace): \($0.reason)" }
    guard !statuses.isEmpty else {
      return refusals.isEmpty ? "No VXLAN device is here." : refusals.joined(separator: "\n  ")
    }
    let all = statuses.map(Readiness.init)
    guard all.allSatisfy(\.isBlocked) else { return nil }
    return (statuses.count == 1 ? [all[0].line] : zip(statuses, all).map { "\($0.overlay): \($1.line)" })
      .joined(separator: "\n  ") + refusals.map { "\n  " + $0 }.joined()
  }

  private func sayReady(_ statuses: [Status]) {
    for status in statuses {
      let entries = status.entries.local + status.entries.remote
      Terminal.note(
        "ready: \(status.overlay) by \(status.tier) \(status.mode), \(Readiness(status).line); "
          + "\(counted(entries, "entry", "entries")); pid \(status.pid)")
      if status.entries.refused > 0 {
        Terminal.note(
          "\(counted(status.entries.refused, "entry", "entries")) did not fit, their packets are left to the kernel; "
            + "raise --entries")
      }
    }
    if statuses.isEmpty { Terminal.note("ready: no overlay here yet") }
  }

  private var cpuList: [Int] { (cpus ?? "").split(separator: ",").compactMap { Int($0) } }

  private var options: AgentOptions {
    AgentOptions(overlays: overlay.isEmpty ? nil : overlay, allNamespaces: allNamespaces, each: each, isDetached: background)
  }

  private var each: FastPathOptions {
    FastPathOptions(
      overlay: "", namespace: netns, uplink: uplink, uplinkNamespace: uplinkNetns,
      tier: Tier(rawValue: tier), mode: generic ? .generic : .native, strict: strict,
      bypassPolicy: bypassPolicy, policy: policy, outerChecksum: outerChecksum, entryCapacity: entries,
      wait: wait ?? .adaptive, workers: workers ?? 1,
      cpus: cpuList,
      keepsOffloads: keepOffloads, carriesBulk: carryBulk, avoidsTCX: withoutTcx)
  }
}

extension OuterChecksum: ExpressibleByArgument {}
extension ForwardPolicy: ExpressibleByArgument {}
extension WaitMode: ExpressibleByArgument {}
