// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import FastPath
import LinuxSystem

struct StatusCommand: CulvertCommand {
  static let configuration = CommandConfiguration(
    commandName: "status", abstract: "Which overlays are carried, by which process, tier and mode.")

  @Option(help: "Only the overlays of this namespace: a name, a path or a PID.")
  var netns: String?
  @Flag(help: "Print JSON.")
  var json = false

  func execute() throws {
    var all: [Status] = []
    var failures: [Failure] = []
    for directory in try Overlays.directories(namespace: netns, all: netns == nil) {
      do { all.append(try Overlays.status(directory)) } catch let failure as Failure {
        failures.append(failure)
      }
    }
    if json {
      try Terminal.json(all)
    } else {
      if all.isEmpty, failures.isEmpty { Terminal.note("no overlay is carried outside the kernel") }
      for status in all { Terminal.result(Self.render(status)) }
    }
    // One that cannot be asked does not hide the others.
    for failure in failures.dropLast() { Terminal.note("error: \(failure)") }
    if let last = failures.last { throw last }
  }

  static func render(_ status: Status) -> String {
    if status.state == "starting" {
      return "\(status.overlay) in \(status.namespace): process \(status.pid) is starting or ending"
    }
    guard status.state == "ready" else {
      var lines = [
        "\(status.overlay) in \(status.namespace): process \(status.pid) has died; the kernel carries it"
      ]
      lines += status.changes.map { "  still changed: \($0)" }
      lines.append("  `\(Owner.downCommand(status.namespace))` restores, and so does the next `culvert up`")
      return lines.joined(separator: "\n")
    }
    let strict = status.strict ? ", strict" : ""
    var lines = [
      "\(status.overlay) in \(status.namespace): \(status.bridge) + \(status.vxlan) (VNI \(status.vni)) over "
        + "\(status.uplink), tier \(status.tier) \(status.mode)\(strict), pid \(status.pid)"
    ]
    for port in status.ports {
      let what = port.tier.map { "\($0) \(port.mode ?? "")" } ?? "kernel"
      lines.append(
        "  \(port.name.padded(16)) \(port.role.padded(10)) \(what.padded(12)) \(port.reason ?? "")")
    }
    let entries = status.entries
    lines.append(
      "  entries: \(entries.local) local, \(entries.remote) remote, \(entries.kernel) the kernel's"
        + (entries.refused > 0 ? ", \(entries.refused) did not fit" : ""))
    for tunnel in status.tunnels {
      lines.append(
        "  VTEP \(tunnel.remote):\(tunnel.port) VNI \(tunnel.vni): \(tunnel.entries) \(tunnel.entries == 1 ? "entry" : "entries")"
          + (tunnel.reason.map { "; to the kernel: \($0)" } ?? ""))
    }
    lines += status.changes.map { "  changed: \($0)" }
    return lines.map { $0.trimmedRight }.joined(separator: "\n")
  }
}

extension String {
  func padded(_ width: Int) -> String {
    count >= width ? self : self + String(repeating: " ", count: width - count)
  }
  func paddedLeft(_ width: Int) -> String {
    count >= width ? self : String(repeating: " ", count: width - count) + self
  }
  var trimmedRight: String {
    var text = self[...]
    while text.last == " " { text.removeLast() }
    return String(text)
  }
}
