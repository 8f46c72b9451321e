// SPDX-License-Identifier: Apache-2.0
import Glibc
import LinuxSystem
import Netlink

/// A container that was made while its lab stands.
public struct LaunchedContainer: Sendable {
  public let node: LabNode
  /// What was done for it in turn, and how long that took.
  public let parts: [(name: String, nanoseconds: UInt64)]
}

extension Lab {
  /// Makes a host's last container anew, as it was made with the lab: its namespace, its interface with address at
  /// its host's, its routes. What stood of it before goes first, and is not counted. Rules that name it stay.
  public func launchLast(on host: LabHost) throws -> LaunchedContainer {
    guard let last = containers(of: host).last else {
      throw Failure("launch", "a container", advice: "The lab has none on \(host.rawValue).", status: .usage)
    }
    try removeInterface(of: last)
    var parts: [(name: String, nanoseconds: UInt64)] = []
    func timed<T>(_ name: String, _ body: () throws -> T) throws -> T {
      let begin = Clock.monotonicNanoseconds
      let result = try body()
      parts.append((name, Clock.monotonicNanoseconds - begin))
      return result
    }
    let node = try timed("namespace") {
      let node = LabNode(
        last.identity, spec: spec, namespace: try Self.namespace(for: last.identity, spec, among: nodes),
        reference: last.reference)
      if spec.resident(last.identity) == last.identity { try Quiet.prepare(node, spec) }
      return node
    }
    if node.hostPort != nil { try timed("interface") { try attach(node, to: self.host(host)) } }
    switch spec.network {
    case .nat: try timed("routes") { try routeByBridge(node) }
    case .flannel: try timed("routes") { try routeByHost(node) }
    case .calico:
      try timed("routes") {
        try self.host(host).run { try routeTo(node, try RouteConnection()) }
        try routeByHost(node)
      }
    default: break
    }
    // Before, the kernel drops what an interface is given.
    if let port = node.hostPort {
      try timed("carrier") {
        try Self.awaitRunning(port, in: self.host(host))
        try Self.awaitRunning(node.interface, in: node)
      }
    }
    return LaunchedContainer(node: node, parts: parts)
  }

  /// IFF_RUNNING: the kernel has seen the carrier, and put the queue in place (Documentation/networking/operstates.rst).
  private static func awaitRunning(_ interface: String, in node: LabNode) throws {
    let limit = Clock.monotonicNanoseconds + 5_000_000_000
    try node.run {
      let route = try RouteConnection()
      while try route.link(named: interface).flags & 0x40 == 0 {
        guard Clock.monotonicNanoseconds < limit else {
          throw Failure("launch", node.name, advice: "\(interface) had no carrier for 5 s.")
        }
        usleep(100)
      }
    }
  }

  private func removeInterface(of container: LabNode) throws {
    guard let port = container.hostPort else { return }
    try host(container.host).run {
      let route = try RouteConnection()
      for link in try route.links() where link.name == port { try route.delete(link: link.index) }
    }
  }
}
