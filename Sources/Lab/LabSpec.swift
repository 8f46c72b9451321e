// SPDX-License-Identifier: Apache-2.0
import LinuxSystem

/// What a lab is to be: two hosts joined by a wire, and the kernel's network between
/// what stands at its ends.
public struct LabSpec: Hashable, Sendable {
  public enum Network: String, CaseIterable, Sendable {
    /// Host to host: no containers, the wire alone.
    case bare
    /// Containers have loopback alone.
    case none
    /// Containers share their host's namespace.
    case host
    /// A host's containers share one namespace, as a pod's do, and talk over its loopback.
    case container
    /// A host's containers are ports of its bridge, and talk with each other.
    case bridge
    /// As `bridge`, with a subnet per host behind the host's address: masqueraded on the way out, a range of
    /// ports published to each container on the way in. IPv4 only.
    case nat
    /// Container, veth, bridge, VXLAN device, uplink: a Docker overlay's hierarchy.
    case vxlan
    /// flannel's, as k3s has it: a bridge per host, a subnet per host behind it, a VXLAN device that is routed over,
    /// and the chains of flannel and kube-proxy.
    case flannel
    /// Calico's: no bridge, a route per container, a VXLAN device that is routed over, and Calico's chains.
    case calico

    /// Containers are ports of a bridge.
    public var isBridged: Bool { [.bridge, .nat, .vxlan, .flannel].contains(self) }
    /// Containers of two hosts reach each other through a VXLAN device.
    public var isOverlay: Bool { self == .vxlan || isRouted }
    /// The host routes between its containers and a VXLAN device, which is no port of a bridge.
    public var isRouted: Bool { self == .flannel || self == .calico }
    /// Containers reach those of their own host only.
    public var isOfOneHost: Bool { self == .bridge || self == .container }
  }

  public var network: Network
  /// Per host; of no meaning for `bare`.
  public var containers: Int
  /// Layer 3 bytes on the wire; containers on an overlay get 50 fewer.
  public var mtu: UInt32
  /// False: no checksum, segmentation or receive offload for what the containers
  /// send and receive, nor on the wire.
  public var offloads: Bool
  /// Outer UDP checksum of the VXLAN devices.
  public var udpChecksum: Bool
  /// Bridged packets pass netfilter, as new namespaces have it.
  public var bridgeNetfilter: Bool
  /// A host has an address on its bridge, which its containers reach (Docker's and flannel's layout).
  public var hostAddress: Bool
  /// Transmit and receive queues of the wire's and the containers' interfaces.
  public var queues: Int

  /// The tuned baseline, or with `asShipped` the kernel's defaults, and on `bridge` Docker's chains; `flannel` and `calico` are always as Kubernetes
  /// has them, with netfilter on bridges and outer checksums.
  /// - Parameter containers: nil is as many as it takes to have two that reach each other.
  public init(
    _ network: Network, containers: Int? = nil, mtu: UInt32 = 1500, offloads: Bool = true,
    udpChecksum: Bool? = nil, asShipped: Bool = false, hostAddress: Bool = false, queues: Int = 1
  ) {
    self.hostAddress = hostAddress
    self.network = network
    self.containers = network == .bare ? 0 : containers ?? (network.isOfOneHost ? 2 : 1)
    self.mtu = mtu
    self.offloads = offloads
    self.udpChecksum = udpChecksum ?? (asShipped || network.isRouted)
    self.bridgeNetfilter = asShipped || network.isRouted
    self.queues = queues
  }

  /// Bytes of outer Ethernet, IPv4, UDP and VXLAN headers that a wire's MTU must leave
  /// room for: the inner Ethernet header in place of the outer one.
  public static let overhead: UInt32 = 50
  public static let containerLimit = 250
  public static let queueLimit = 64

  public var containerMTU: UInt32 { network.isOverlay ? mtu - Self.overhead : mtu }

  func validate() throws(Failure) {
    // The kernel takes IPv6 off an interface below 1280 (RFC 8200 section 5).
    let least = 1280 + (network.isOverlay ? Self.overhead : 0)
    guard (least...65_535).contains(mtu) else {
      throw Failure("build", "a lab of MTU \(mtu)", advice: "Give \(least) to 65535.", status: .usage)
    }
    guard network == .bare || (1...Self.containerLimit).contains(containers) else {
      throw Failure(
        "build", "a lab of \(containers) containers", advice: "Give 1 to \(Self.containerLimit).",
        status: .usage)
    }
    guard (1...Self.queueLimit).contains(queues) else {
      throw Failure(
        "build", "a lab of \(queues) queues", advice: "Give 1 to \(Self.queueLimit).", status: .usage)
    }
  }
}

/// "vxlan" or "vxlan+xdp": a network, and the tier that is to carry its packets.
public struct NetworkChoice: Hashable, Sendable {
  public var network: LabSpec.Network
  /// As given; whether there is such a tier is for the caller to say.
  public var tier: String?

  public init(parsing text: String) throws(Failure) {
    let parts = text.split(separator: "+", maxSplits: 1, omittingEmptySubsequences: false)
    guard let network = LabSpec.Network(rawValue: String(parts[0])), parts.count < 2 || !parts[1].isEmpty
    else {
      let known = LabSpec.Network.allCases.map(\.rawValue).joined(separator: ", ")
      throw Failure(
        "build", "network \(text)", advice: "Give one of \(known), optionally with +TIER.", status: .usage)
    }
    self.network = network
    self.tier = parts.count > 1 ? String(parts[1]) : nil
  }
}

extension LabSpec {
  /// One "key value" line each; equal specs have equal text.
  var text: String {
    """
    network \(network.rawValue)
    containers \(containers)
    mtu \(mtu)
    offloads \(offloads)
    udpcsum \(udpChecksum)
    bridge-netfilter \(bridgeNetfilter)
    host-address \(hostAddress)
    queues \(queues)

    """
  }

  init?(text: String) {
    var values: [Substring: Substring] = [:]
    for line in text.split(separator: "\n") {
      let words = line.split(separator: " ")
      guard words.count == 2 else { return nil }
      values[words[0]] = words[1]
    }
    func bool(_ key: Substring) -> Bool? { values[key].flatMap { Bool(String($0)) } }
    guard let network = values["network"].flatMap({ Network(rawValue: String($0)) }),
      let containers = values["containers"].flatMap({ Int($0) }),
      let mtu = values["mtu"].flatMap({ UInt32($0) }), let offloads = bool("offloads"),
      let checksum = bool("udpcsum"), let netfilter = bool("bridge-netfilter")
    else { return nil }
    // Labs of earlier versions had none.
    let hostAddress = values["host-address"] == nil ? false : bool("host-address")
    // Labs of earlier versions had one.
    let queues = values["queues"].map { Int($0) } ?? 1
    guard let queues, let hostAddress else { return nil }
    self.init(
      network, containers: containers, mtu: mtu, offloads: offloads, udpChecksum: checksum,
      hostAddress: hostAddress, queues: queues)
    self.bridgeNetfilter = netfilter
  }
}
