// SPDX-License-Identifier: Apache-2.0
import Glibc
import LinuxSystem

/// A lab that stands: its nodes, each with its namespace held open.
public final class Lab: Sendable {
  public let spec: LabSpec
  /// Hosts first, then containers.
  public let nodes: [LabNode]

  init(spec: LabSpec, nodes: [LabNode]) {
    self.spec = spec
    self.nodes = nodes
  }

  /// Builds one that has no name and leaves no trace: its namespaces are held by
  /// descriptors of this process only, and go with it however it ends.
  public static func make(_ spec: LabSpec) throws -> Lab {
    try spec.validate()
    var nodes: [LabNode] = []
    for identity in spec.identities {
      let namespace = try namespace(for: identity, spec, among: nodes)
      let reference = "/proc/\(getpid())/fd/\(namespace.descriptor.raw)"
      nodes.append(LabNode(identity, spec: spec, namespace: namespace, reference: reference))
    }
    let lab = Lab(spec: spec, nodes: nodes)
    try lab.build()
    return lab
  }

  /// A new one, or that of the node whose namespace it shares.
  static func namespace(
    for identity: LabIdentity, _ spec: LabSpec, among nodes: [LabNode]
  ) throws -> NetworkNamespace {
    let resident = spec.resident(identity)
    guard let owner = nodes.first(where: { $0.identity == resident }) else { return try .makeAnonymous() }
    return try owner.namespace.duplicate()
  }

  /// "hostA", "hostB", "a1", "b1" …
  public func node(_ name: String) throws(Failure) -> LabNode {
    guard let node = nodes.first(where: { $0.name == name }) else {
      let known = nodes.map(\.name).joined(separator: ", ")
      throw Failure("find", "node \(name)", advice: "The lab's nodes: \(known).", status: .usage)
    }
    return node
  }

  public func host(_ host: LabHost) -> LabNode { nodes[host == .a ? 0 : 1] }

  public func containers(of host: LabHost) -> [LabNode] { nodes.filter { !$0.isHost && $0.host == host } }

  /// Who talks to whom in a comparison: the first containers, of one host where those of two cannot; on
  /// `bare` the hosts.
  public var pair: (client: LabNode, server: LabNode) {
    let near = containers(of: .a)
    guard let first = near.first, let other = containers(of: .b).first else { return (host(.a), host(.b)) }
    return (first, spec.network.isOfOneHost ? near.last! : other)
  }
}
