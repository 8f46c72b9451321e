// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import PacketHeaders

/// A host or a container of a lab: its namespace, and how it is reached.
public final class LabNode: Sendable {
  public let identity: LabIdentity
  public let namespace: NetworkNamespace
  /// The namespace as commands take NS: a path.
  public let reference: String
  /// The interface through which the node is reached.
  public let interface: String
  /// Layer 3 bytes of `interface`.
  public let mtu: UInt32
  public let address: IPv4Address
  let prefix: UInt8
  /// Of its host, as its containers send to it what is for others; nil where they are neighbours.
  public let gatewayMAC: MACAddress?
  /// Of a host: what `culvert up --overlay` is given to serve it.
  public let served: String?
  /// A host that routes what its containers send.
  public let isRouter: Bool
  /// Nil where IPv6 is off: hosts that only carry an overlay, and all of `nat`.
  public let address6: IPv6Address?
  let prefix6: UInt8
  /// Also where the node has no address of its own: a host that routes.
  let usesIPv6: Bool
  /// Where other hosts meet a container of `nat`: its host's address.
  public let published: IPv4Address?
  /// A service that leads to a container (a ClusterIP), with `LabNames.publishedPorts`; by destination NAT on the
  /// host of who asks.
  public let service: IPv4Address?
  /// Of `interface`; zero of loopback.
  public let mac: MACAddress
  /// The container's port in its host's namespace.
  public let hostPort: String?

  public var name: String { identity.name }
  public var host: LabHost { identity.host }
  public var isHost: Bool { identity.container == nil }

  init(_ identity: LabIdentity, spec: LabSpec, namespace: consuming NetworkNamespace, reference: String) {
    self.identity = identity
    self.namespace = namespace
    self.reference = reference
    let network = spec.network
    let isContainer = identity.container != nil
    let isOnLoopback = isContainer && (network == .container || network == .none)
    // On `host` a container is what its host is.
    let reached = network == .host ? LabIdentity(host: identity.host, container: nil) : identity
    interface = isOnLoopback ? "lo" : LabNames.interface
    // Loopback's own default.
    mtu = isOnLoopback ? 65_536 : isContainer ? spec.containerMTU : spec.mtu
    address = isContainer && network == .none ? .loopback : reached.address
    let containerPrefix: UInt8 =
      switch network {
      case .nat: 17
      case .flannel: 24
      case .calico: 32
      default: 16
      }
    prefix = isOnLoopback ? 32 : isContainer ? containerPrefix : 24
    let hasSix = isContainer ? network != .nat && network != .none : network == .bare || network == .host
    address6 = hasSix ? reached.address6 : nil
    prefix6 = isOnLoopback || network == .calico ? 128 : network == .flannel ? 112 : 64
    usesIPv6 = hasSix || network.isRouted
    published =
      isContainer && network == .nat ? LabIdentity(host: identity.host, container: nil).address : nil
    served = isContainer ? nil : network.served
    isRouter = !isContainer && network.isRouted
    gatewayMAC =
      switch network {
      case .flannel where isContainer: identity.ofHost.bridgeMAC
      case .calico where isContainer: MACAddress(value: 0xeeee_eeee_eeee)
      default: nil
      }
    service = network.isRouted ? identity.serviceAddress : nil
    mac = isOnLoopback ? .zero : reached.mac
    hostPort = spec.hostPort(identity)
  }

  /// Of the container's port in its host: on `calico` the one that felix gives them all.
  var hostPortMAC: MACAddress {
    hostPort?.hasPrefix("cali") == true ? gatewayMAC! : identity.hostPortMAC
  }

  /// Of a host's VXLAN device.
  public var overlayMAC: MACAddress { identity.vxlanMAC }

  /// Runs `body` inside the node's namespace on a thread of its own.
  public func run<T>(_ body: () throws -> T) throws -> T { try namespace.run(body) }
}

extension IPv4Address {
  fileprivate static let loopback = IPv4Address([127, 0, 0, 1] as [UInt8])!
}
