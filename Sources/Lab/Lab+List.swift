// SPDX-License-Identifier: Apache-2.0

/// One line of `culvert lab list`.
public struct LabSummary: Sendable {
  public enum State: String, Sendable {
    case up
    /// Its `up` was killed, or is at work.
    case unfinished
    /// Nodes are missing.
    case damaged
  }

  public var name: String
  public var state: State
  /// Nil where it is unknown yet.
  public var spec: LabSpec?
  /// Empty unless it is up.
  public var nodes: [LabNode]
}

extension Lab {
  public static func list() throws -> [LabSummary] {
    try LabRecord.check()
    return try LabRecord.names.map { name in
      let record = try LabRecord(name)
      let spec = record.spec()
      guard record.isComplete, let spec else {
        return LabSummary(name: name, state: .unfinished, spec: spec, nodes: [])
      }
      let nodes = try spec.identities.compactMap { try open($0, spec, record) }
      let isWhole = nodes.count == spec.identities.count
      return LabSummary(name: name, state: isWhole ? .up : .damaged, spec: spec, nodes: isWhole ? nodes : [])
    }
  }
}
