// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import FastPath
import LinuxSystem

struct Probe: CulvertCommand {
  static let configuration = CommandConfiguration(
    abstract: "What an interface can do, and what `auto` would pick.",
    discussion: "Asks the kernel; attaches and changes nothing.")

  @Argument(help: "The interface.", completion: .interfaces)
  var interface: String
  @Option(
    help: "Its network namespace: a name, a path or a PID (default: this one).", completion: .namespaces)
  var netns: String?
  @Flag(help: "Print JSON.")
  var json = false

  func execute() throws {
    let probe = try InterfaceProbe.look(at: interface, namespace: netns)
    if json { return try Terminal.json(probe) }
    func yes(_ value: Bool) -> String { value ? "yes" : "no" }
    var lines = [
      "\(probe.interface): driver \(probe.driver), MTU \(probe.mtu), "
        + "\(probe.receiveQueues) receive and \(probe.transmitQueues) transmit queues"
    ]
    if let xdp = probe.xdp {
      lines.append(
        "  XDP: native \(yes(xdp.native)), redirect target \(yes(xdp.redirectTarget)), "
          + "multi-buffer \(yes(xdp.multiBuffer)), AF_XDP \(xdp.zeroCopy ? "zero-copy" : "copy")")
    } else {
      lines.append("  XDP: this kernel does not say (6.3 and newer do)")
    }
    let offloads = probe.offloads.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value ? "on" : "off")" }
    lines.append("  offloads: \(offloads.isEmpty ? "none known" : offloads.joined(separator: ", "))")
    lines.append("  auto: \(probe.tier ?? "the kernel") (\(probe.reason))")
    try Terminal.result(lines.joined(separator: "\n"))
  }
}
