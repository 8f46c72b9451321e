// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import PacketHeaders

/// A host or a container of a lab: its namespace, and how it is reached.
public final class LabNode: Sendable {
  public let identity: LabIdentity
  public let namespace: NetworkNamespace
  /// The namespace as commands take NS: a path.
  public let reference: String
  /// Layer 3 bytes of `interface`.
  public let mtu: UInt32
  /// Nil where IPv6 is off: hosts that only carry an overlay.
  public let address6: IPv6Address?

  public var name: String { identity.name }
  public var host: LabHost { identity.host }
  public var isHost: Bool { identity.container == nil }
  public var interface: String { identity.interface }
  public var hostPort: String? { identity.hostPort }
  public var address: IPv4Address { identity.address }
  public var mac: MACAddress { identity.mac }

  init(_ identity: LabIdentity, spec: LabSpec, namespace: consuming NetworkNamespace, reference: String) {
    self.identity = identity
    self.namespace = namespace
    self.reference = reference
    let isHost = identity.container == nil
    self.mtu = isHost ? spec.mtu : spec.containerMTU
    self.address6 = isHost && spec.network != .bare ? nil : identity.address6
  }

  /// Runs `body` inside the node's namespace on a thread of its own.
  public func run<T>(_ body: () throws -> T) throws -> T { try namespace.run(body) }
}
