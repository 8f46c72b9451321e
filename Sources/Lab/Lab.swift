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
    let nodes = try spec.identities.map { identity in
      let namespace = try NetworkNamespace.makeAnonymous()
      let reference = "/proc/\(getpid())/fd/\(namespace.descriptor.raw)"
      return LabNode(identity, spec: spec, namespace: namespace, reference: reference)
    }
    let lab = Lab(spec: spec, nodes: nodes)
    try lab.build()
    return lab
  }

  /// "hostA", "hostB", "a1", "b1" …
  public func node(_ name: String) throws(Failure) -> LabNode {
    guard let node = nodes.first(where: { $0.name == name }) else {
      let known = nodes.map(\.name).joined(separator: ", ")
      throw Failure("find", "node \(name)", advice: "This lab has \(known).", status: .usage)
    }
    return node
  }

  public func host(_ host: LabHost) -> LabNode { nodes[host == .a ? 0 : 1] }

  public func containers(of host: LabHost) -> [LabNode] { nodes.filter { !$0.isHost && $0.host == host } }

  /// Who talks to whom in a comparison: the first containers, or on `bare` the hosts.
  public var pair: (client: LabNode, server: LabNode) {
    (containers(of: .a).first ?? host(.a), containers(of: .b).first ?? host(.b))
  }
}
