// SPDX-License-Identifier: Apache-2.0
import LinuxSystem

/// What `up` asks of the process that has its uplink: an interface takes one XDP program, and one process serves several
/// overlays by it.
public struct ServeRequest: Codable, Sendable {
  var overlays: [String]
  /// Their namespace, as the asking process holds it open.
  var path: String
  /// The same as it was named.
  var namespace: String?
  var options: FastPathOptions
}

extension FastPathOptions {
  /// What overlays of one underlay share has to be the same for all; the options in which `other` differs.
  func differences(from other: FastPathOptions) -> [String] {
    let same = [
      ("--tier", tier == other.tier), ("--generic", mode == other.mode), ("--entries", entryCapacity == other.entryCapacity),
      ("--wait", wait == other.wait), ("--workers", workers == other.workers), ("--cpus", cpus == other.cpus),
      ("--keep-offloads", keepsOffloads == other.keepsOffloads),
    ]
    return same.filter { !$0.1 }.map(\.0)
  }
}
