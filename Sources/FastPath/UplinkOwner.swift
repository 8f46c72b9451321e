// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import Netlink

/// Another of Culvert's processes at an interface that takes one XDP program.
struct UplinkOwner {
  let process: Owner
  /// The overlays that it serves.
  private var overlays: [String]
  /// Those of them that it does not only begin to.
  private var ready: [String]
  private var tier: String

  /// nil where what is attached to `link` is nobody's, or not Culvert's.
  init?(of link: Link) {
    guard let program = link.xdpProgramID, let process = RuntimeDirectory.livingPrograms()[program] else { return nil }
    let directories = RuntimeDirectory.all().filter {
      !$0.isAgents && $0.owner?.pid == process.pid && $0.owner?.namespace == process.namespace
    }
    self.process = process
    overlays = directories.compactMap { $0.owner?.overlay }.sorted()
    let statuses = directories.compactMap { try? Overlays.status($0) }
    ready = statuses.filter { $0.state == "ready" }.map(\.overlay)
    tier = statuses.lazy.map(\.tier).first { !$0.isEmpty } ?? "xdp"
  }

  /// What to do instead of serving `overlay` of namespace `name` from here.
  func failure(for overlay: String, in name: String, by interface: String) -> Failure {
    let isTogether = process.namespace == name
    guard !isTogether || !ready.contains(overlay) else {
      return Failure(
        "serve", overlay, errno: .resourceBusy,
        advice: "Process \(process.pid) serves it already; `\(process.downCommand)` ends it.")
    }
    let overlays = overlays.filter { $0 != overlay }
    let up =
      isTogether
      ? Owner.command("up", name) + (overlays + [overlay]).map { " --overlay \($0)" }.joined()
      : "culvert up --all-namespaces"
    return Failure(
      "serve \(overlay) by", interface, errno: .resourceBusy,
      advice: "Process \(process.pid) serves \(overlays.joined(separator: ", ")) by it, and goes on; one process serves "
        + "several overlays: `culvert up --overlay \(overlay) --detach` hands it to that one. Or `\(process.downCommand)`, then "
        + "`\(up) --tier \(tier)`. With --tier tc, processes share an uplink.")
  }
}

/// An overlay cannot be begun, since its uplink is another process's of Culvert.
struct UplinkTaken: Error {
  let process: Owner
  let failure: Failure
}
