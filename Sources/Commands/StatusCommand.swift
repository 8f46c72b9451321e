// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import FastPath
import LinuxSystem

struct StatusCommand: CulvertCommand {
  static let configuration = CommandConfiguration(
    commandName: "status", abstract: "Which overlays are served, by which process, tier and mode.",
    discussion: """
      Changes nothing. Exit status: 0 where every overlay is forwarded by culvert (or none is served), 69 where all of one is left to the \
      kernel at present, 1 where a process died, ended by itself or does not answer.
      """)

  @Option(
    help: "Only the overlays of this namespace: a name, a path or a PID.", completion: .namespaces)
  var netns: String?
  @Option(
    help: "Only this overlay, by its bridge or its VXLAN device; may be repeated.", completion: .servedOverlays)
  var overlay: [String] = []
  @Flag(help: "Print JSON.")
  var json = false

  func execute() throws {
    var all: [Status] = []
    var failures: [Failure] = []
    for directory in try Overlays.directories(namespace: netns, all: netns == nil, named: overlay) {
      do {
        if let status = try Overlays.status(directory) { all.append(status) }
      } catch { failures.append(error) }
    }
    all += try Overlays.ended(namespace: netns, all: netns == nil).map(Overlays.status(of:)).filter {
      overlay.isEmpty || overlay.contains($0.overlay)
    }
    if json {
      try Terminal.json(all)
    } else {
      if all.isEmpty, failures.isEmpty { Terminal.note("culvert serves no overlay") }
      for status in all { try Terminal.result(Self.render(status)) }
    }
    // One that cannot be asked does not hide the others.
    for failure in failures.dropLast() { Terminal.error(failure) }
    if let last = failures.last { throw last }
    let health = Self.health(of: all)
    if health != .done { throw ExitCode(health.rawValue) }
  }

  static func health(of all: [Status]) -> ExitStatus {
    if all.contains(where: { !["ready", "starting", "looking"].contains($0.state) }) { return .failed }
    return all.contains { $0.state == "ready" && Readiness($0).isBlocked } ? .unavailable : .done
  }

  static func render(_ status: Status) -> String {
    let name = status.namespace.isEmpty ? status.overlay : "\(status.overlay) in \(status.namespace)"
    let lines = status.state == "ready" ? ready(status, name) : other(status, name)
    return lines.map { $0.trimmedRight }.joined(separator: "\n")
  }

  /// Of one that does not say anything itself.
  private static func other(_ status: Status, _ name: String) -> [String] {
    let log = status.log.map { ["  log: \($0)"] } ?? []
    let changes = status.changes.map { "  still changed: \($0)" }
    let down = Owner.downCommand(status.namespace)
    switch status.state {
    case "looking":
      let place = status.found?.allNamespaces == true ? ", and of every other namespace" : ""
      let served = counted(status.found?.served ?? 0, "overlay", "overlays")
      let refused = status.found?.refused ?? []
      return ["\(name)\(place): process \(status.pid) serves \(served)"] + log
        + refused.map { "  \($0.overlay) in \($0.namespace): not served: \($0.reason)" }
    case "starting": return ["\(name): process \(status.pid) is starting or ending"] + log
    case "stopped":
      return [
        "\(name): process \(status.pid) is stopped and does not answer; xdp and tc forward by the tables as they are, "
          + "afxdp leaves its packets to the kernel", "  `kill -CONT \(status.pid)` resumes it",
      ] + log
    case "silent": return ["\(name): process \(status.pid) did not answer within 5 s"] + log
    case "ended":
      return [
        "\(name): ended by itself at \(status.time ?? "?") (process \(status.pid)); the kernel forwards everything",
        "  because: \(status.reason ?? "?")",
      ] + log + ["  `culvert up` starts it again; `\(down)` (or `culvert down --all`) removes this record"]
    default:
      return ["\(name): process \(status.pid) has died; the kernel forwards everything"] + changes + log
        + ["  `\(down)` restores, and so does the next `culvert up`"]
    }
  }

  private static func ready(_ status: Status, _ name: String) -> [String] {
    let overlay =
      status.vxlan.isEmpty
      ? "\(status.bridge), a bridge alone"
      : (status.vxlan == status.bridge ? "" : "\(status.bridge) + ")
        + "\(status.vxlan) (VNI \(status.vni)) over \(status.uplink)"
    let readiness = Readiness(status)
    var lines = [
      "\(name): \(readiness.line)",
      "  \(overlay), tier \(status.tier) "
        + "\(status.mode)\(status.strict ? ", strict" : ""), pid \(status.pid)"
        + (status.log.map { ", log \($0)" } ?? ""),
    ]
    let ofAll = readiness.reasons.first { $0.ports.isEmpty }?.reason
    lines += status.ports.map { "  \($0.name.padded(16)) \($0.role.padded(10)) \(words($0, ofAll: ofAll))" }
    for (ip, reason) in (status.left ?? [:]).sorted(by: { $0.key < $1.key }) {
      lines.append("  \(ip) inside is left to the kernel: \(reason)")
    }
    switch status.segmentChecksum {
    case "zero":
      lines.append(
        "  TCP segments leave with a zero outer checksum (RFC 7348 section 5); `up --outer-checksum exact` leaves them to the kernel")
    case "kernel": lines.append("  TCP segments are left to the kernel, for their outer checksum (--outer-checksum exact)")
    default: break
    }
    let entries = status.entries
    lines.append(
      "  forwarding entries: \(entries.local) local, \(entries.remote) remote"
        + (entries.kernel > 0 ? "; \(entries.kernel) left to the kernel" : "")
        + (entries.refused > 0 ? "; \(entries.refused) did not fit (--entries)" : ""))
    for tunnel in status.tunnels {
      lines.append(
        "  VTEP \(tunnel.remote):\(tunnel.port) VNI \(tunnel.vni): "
          + counted(tunnel.entries, "entry", "entries")
          + (tunnel.reason.map { "; kernel: \($0)" } ?? ""))
    }
    return lines + status.changes.map { "  changed: \($0)" }
  }

  /// One wording, whatever the reason. The first line has said what concerns all of them.
  private static func words(_ port: Status.Port, ofAll: String?) -> String {
    if let tier = port.tier, port.reason == nil { return "forwarded by \(tier) \(port.mode ?? "")" }
    if let reason = port.reason, reason != ofAll { return "kernel: \(reason)" }
    return ofAll == nil ? "kernel" : "kernel, as above"
  }
}
