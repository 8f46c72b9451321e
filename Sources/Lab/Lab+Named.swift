// SPDX-License-Identifier: Apache-2.0
import Glibc
import LinuxSystem

/// A process that is still inside a namespace that has lost its name.
public struct LabOccupant: Hashable, Sendable {
  public var process: Int32
  public var node: String
}

extension Lab {
  public static let defaultName = "culvert"

  /// Builds the lab, or finds it as asked for (`isNew` false). What a killed `up` left
  /// is cleared first; a lab of this name that is otherwise is a failure.
  public static func up(_ spec: LabSpec, name: String = defaultName) throws -> (lab: Lab, isNew: Bool) {
    try spec.validate()
    let record = try LabRecord(name)
    return try LabRecord.locked {
      if record.isComplete {
        guard record.spec() == spec else {
          throw Failure(
            "build lab", name, errno: .fileExists,
            advice: "It is up with other settings; take it down first: culvert lab down --name \(name)")
        }
        return (try open(record), false)
      }
      if record.exists { _ = try remove(record) }
      do {
        return (try build(spec, record), true)
      } catch {
        _ = try remove(record)
        throw error
      }
    }
  }

  /// One that stands, from whichever process built it.
  public static func open(name: String = defaultName) throws -> Lab { try open(try LabRecord(name)) }

  /// Removes what `up` made, whole or in part, and nothing else. Says who is still
  /// inside, or nil where there is no such lab.
  public static func down(name: String = defaultName) throws -> [LabOccupant]? {
    let record = try LabRecord(name)
    return try LabRecord.locked {
      guard record.exists else { return nil }
      return try remove(record)
    }
  }

  private static func build(_ spec: LabSpec, _ record: LabRecord) throws -> Lab {
    try LabRecord.prepareNamespaceDirectory()
    try record.begin(spec)
    var nodes: [LabNode] = []
    for identity in spec.identities {
      let namespace = try namespace(for: identity, spec, among: nodes)
      let name = NamespaceName(name: "\(record.name)-\(identity.name)", token: NamespaceName.makeToken())
      try record.begin(identity.name, LabRecord.Node(name: name, identity: namespace.identity))
      try name.mount(namespace)
      nodes.append(LabNode(identity, spec: spec, namespace: namespace, reference: name.path))
    }
    let lab = Lab(spec: spec, nodes: nodes)
    try lab.build()
    try record.complete()
    return lab
  }

  private static func open(_ record: LabRecord) throws -> Lab {
    guard record.isComplete, let spec = record.spec() else {
      throw Failure(
        "open lab", record.name, errno: .noSuchFileOrDirectory,
        advice: record.exists
          ? "It is unfinished; run `culvert lab up` again, or culvert lab down --name \(record.name)"
          : "Build it with `culvert lab up`; `culvert lab list` shows what stands.")
    }
    let nodes = try spec.identities.map { identity in
      guard let node = try open(identity, spec, record) else {
        throw Failure(
          "open node", identity.name, errno: .noSuchFileOrDirectory,
          advice: "The lab is damaged; culvert lab down --name \(record.name), then `culvert lab up`.")
      }
      return node
    }
    return Lab(spec: spec, nodes: nodes)
  }
}
