// SPDX-License-Identifier: Apache-2.0
import Glibc
import LinuxSystem

extension Lab {
  /// The node, if it was begun and its name still leads to its namespace.
  static func open(_ identity: LabIdentity, _ spec: LabSpec, _ record: LabRecord) throws -> LabNode? {
    guard let begun = try record.node(identity.name), access(begun.name.path, F_OK) == 0 else { return nil }
    let namespace = try NetworkNamespace.open(begun.name.path)
    guard namespace.identity == begun.identity else { return nil }
    return LabNode(identity, spec: spec, namespace: namespace, reference: begun.name.path)
  }

  /// Removes all that the record names, in an order that can be broken off anywhere and
  /// begun again.
  static func remove(_ record: LabRecord) throws -> [LabOccupant] {
    record.reopen()
    var occupants: [LabOccupant] = []
    if let spec = record.spec() {
      let nodes = try spec.identities.compactMap { try open($0, spec, record) }
      occupants = self.occupants(of: nodes)
      for node in nodes where node.isHost { try node.removeDevices(spec) }
    }
    for node in record.nodes {
      try record.node(node)?.name.remove()
      record.forget(node)
    }
    try record.end()
    return occupants
  }

  /// Processes whose namespace is one of the nodes'. One that ends, or may not be
  /// looked at, is none.
  private static func occupants(of nodes: [LabNode]) -> [LabOccupant] {
    var names: [NetworkNamespace.Identity: String] = [:]
    for node in nodes where names[node.namespace.identity] == nil {
      names[node.namespace.identity] = node.name
    }
    return Folder.names("/proc").compactMap { Int32($0) }.compactMap { process in
      var status = stat()
      guard stat("/proc/\(process)/ns/net", &status) == 0 else { return nil }
      let identity = NetworkNamespace.Identity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
      return names[identity].map { LabOccupant(process: process, node: $0) }
    }
  }
}
