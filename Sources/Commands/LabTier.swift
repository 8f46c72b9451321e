// SPDX-License-Identifier: Apache-2.0
import FastPath
import Lab
import LinuxSystem

extension Status {
  /// By a living process that has said so.
  fileprivate var isServed: Bool { state == "ready" }
}

/// The `+TIER` of a lab: `culvert up --detach` on both hosts.
struct LabTier {
  private let name: String
  /// As `culvert up` is given it.
  private let overlay: String

  private static let known = ["auto"] + Tier.allCases.map(\.rawValue)

  /// Those that a network of this name can have.
  static func names(on network: String) -> [String] {
    guard let network = LabSpec.Network(rawValue: network), network.served != nil else { return [] }
    // A bridge alone is tier tc's.
    return network == .bridge ? ["auto", Tier.tc.rawValue] : known
  }

  /// Fails before anything is built where there is no such tier for the network.
  init(_ name: String, on network: LabSpec.Network) throws(Failure) {
    guard Self.known.contains(name) else {
      throw Failure(
        "use", "tier \(name)", advice: "There are \(Self.known.joined(separator: ", ")).", status: .usage)
    }
    guard let overlay = network.served else {
      throw Failure(
        "start", "tier \(name) on \(network.rawValue)",
        advice: "A tier serves an overlay: vxlan+\(name), flannel+\(name) or calico+\(name).",
        status: .usage)
    }
    self.name = name
    self.overlay = overlay
  }

  /// A host that is already served is left as it is.
  func start(on lab: Lab) throws {
    for host in LabHost.allCases.map({ lab.host($0) }) {
      let directories = try Overlays.directories(namespace: host.reference, all: false)
      if let status = try directories.compactMap({ try Overlays.status($0) }).first(where: \.isServed) {
        guard name == "auto" || status.tier == name else {
          throw Failure(
            "start", "tier \(name) on \(host.name)", errno: .fileExists,
            advice:
              "Tier \(status.tier) serves it already; `\(Owner.downCommand(status.namespace))` ends that.")
        }
        Terminal.note("\(host.name) is served already by tier \(status.tier), process \(status.pid)")
        continue
      }
      var command = [
        "culvert", "up", "--overlay", overlay, "--netns", host.reference, "--tier", name, "--wait-for-traffic",
      ]
      if ["xdp", "afxdp"].contains(name) { command.append("--carry-bulk") }
      if host.isRouter { command += ["--policy", "connections"] }
      try Background.spawn(command)
    }
  }

  /// Ends what serves the lab's hosts, or restores what a dead one left.
  static func stop(on lab: Lab) throws {
    for host in LabHost.allCases.map({ lab.host($0) }) {
      for directory in try Overlays.directories(namespace: host.reference, all: false) {
        if let result = try Overlays.down(directory) { Terminal.note("\(host.name): \(Down.render(result))") }
      }
      let records = try Overlays.ended(namespace: host.reference, all: false)
      EndRecord.clear { records.contains($0) }
    }
  }

  /// By which tier the lab's hosts are served, and by which process.
  static func served(on lab: Lab) throws -> [(host: String, tier: String, pid: Int32)] {
    try LabHost.allCases.map { lab.host($0) }.compactMap { host in
      let directories = try Overlays.directories(namespace: host.reference, all: false)
      let status = try directories.compactMap { try Overlays.status($0) }.first(where: \.isServed)
      return status.map { (host.name, $0.tier, $0.pid) }
    }
  }
}
