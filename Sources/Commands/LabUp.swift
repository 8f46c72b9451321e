// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Lab
import LinuxSystem

struct LabUp: CulvertCommand {
  static let configuration = CommandConfiguration(
    commandName: "up", abstract: "Build a lab; one that is there already is left as it is.")

  @Argument(help: "bare, none, host, container, bridge, nat, vxlan, flannel or calico; the last three optionally with +TIER.",
    completion: .networks(LabSpec.Network.allCases.map(\.rawValue)) { LabTier.names(on: $0) })
  var network: String
  @Option(help: "Containers per host (default: 1; on bridge and container, which are of one host, 2).")
  var containers: Int?
  @Option(help: "MTU of the wire; containers of an overlay get 50 fewer.")
  var mtu: UInt32 = 1500
  @Option(help: "Checksum, segmentation and receive offloads: on or off.")
  var offloads: Switch = .on
  @Option(help: "Outer UDP checksums: on or off (default: off; with --as-shipped, and on flannel and calico, on).")
  var udpcsum: Switch?
  @Flag(help: "The kernel's defaults in place of the tuned baseline: outer checksums, netfilter on bridges.")
  var asShipped = false
  @Option(help: "Receive and transmit queues of the wire's and the containers' interfaces.")
  var queues = 1
  @OptionGroup var lab: LabName

  func execute() throws {
    let choice = try NetworkChoice(parsing: network)
    let spec = LabSpec(
      choice.network, containers: containers, mtu: mtu, offloads: offloads == .on,
      udpChecksum: udpcsum.map { $0 == .on }, asShipped: asShipped, queues: queues)
    let tier = try choice.tier.map { try LabTier($0, on: choice.network) }
    let (lab, isNew) = try Lab.up(spec, name: self.lab.name)
    Terminal.note(isNew ? "built lab \"\(self.lab.name)\":" : "lab \"\(self.lab.name)\" is up already:")
    for node in lab.nodes {
      Terminal.note("  \(node.name) \(node.address) in \(node.reference)")
    }
    if let tier { return try tier.start(on: lab) }
    for (host, tier, pid) in isNew ? [] : try LabTier.served(on: lab) {
      Terminal.note("\(host) is served by tier \(tier), process \(pid)")
    }
  }
}
