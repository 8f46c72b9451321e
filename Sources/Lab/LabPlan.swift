// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import PacketHeaders

/// One of a lab's two hosts.
public enum LabHost: String, CaseIterable, Sendable {
  case a = "hostA"
  case b = "hostB"

  var letter: String { self == .a ? "a" : "b" }
  var number: UInt8 { self == .a ? 1 : 2 }
  public var other: LabHost { self == .a ? .b : .a }
}

/// Who a node is: its name and addresses follow from the host and the number, so that
/// every lab of one spec looks the same. Addresses are those set aside for
/// benchmarks: 198.18.0.0/15 (RFC 2544), 2001:2::/48 (RFC 5180).
public struct LabIdentity: Hashable, Sendable {
  public let host: LabHost
  /// 1, 2 … for containers, nil for the host itself.
  public let container: Int?

  public init(host: LabHost, container: Int?) {
    self.host = host
    self.container = container
  }

  public var name: String { container.map { "\(host.letter)\($0)" } ?? host.rawValue }

  /// The same host itself.
  var ofHost: LabIdentity { LabIdentity(host: host, container: nil) }

  /// 198.18.0.1 and .2 are the hosts; 198.19.0.N and 198.19.128.N the containers.
  public var address: IPv4Address {
    let octets: [UInt8] =
      if let container { [198, 19, host == .a ? 0 : 128, UInt8(container)] } else {
        [198, 18, 0, host.number]
      }
    return IPv4Address(octets)!
  }

  /// Of the host's bridge, beyond the last container: 198.19.0.254 and 198.19.128.254.
  public var bridgeAddress: IPv4Address { IPv4Address([198, 19, host == .a ? 0 : 128, 254] as [UInt8])! }

  /// What of 198.19.0.0/16 is the host's own on networks with a subnet each: 198.19.0.0 and 198.19.128.0; also the
  /// address of its VXLAN device there.
  var subnet: IPv4Address { IPv4Address([198, 19, host == .a ? 0 : 128, 0] as [UInt8])! }

  /// A service whose one backend the container is (a ClusterIP): 198.18.129.N and 198.18.130.N.
  public var serviceAddress: IPv4Address? {
    container.map { IPv4Address([198, 18, 128 + host.number, UInt8($0)] as [UInt8])! }
  }

  /// 2001:2::a:N and 2001:2::b:N are the containers; 2001:2:0:1::1 and ::2 the hosts.
  public var address6: IPv6Address {
    var octets: [UInt8] = [0x20, 0x01, 0, 2] + [UInt8](repeating: 0, count: 12)
    if let container {
      octets[13] = host == .a ? 0x0a : 0x0b
      octets[15] = UInt8(container)
    } else {
      octets[7] = 1
      octets[15] = host.number
    }
    return IPv6Address(octets)!
  }

  /// 2001:2::a:0 and 2001:2::b:0.
  var subnet6: IPv6Address { six([0x2001, 2, 0, 0, 0, 0, host == .a ? 0xa : 0xb, 0]) }
  /// Of the host's bridge: 2001:2::a:fffe and 2001:2::b:fffe.
  var bridgeAddress6: IPv6Address { six([0x2001, 2, 0, 0, 0, 0, host == .a ? 0xa : 0xb, 0xfffe]) }
  /// Of the VXLAN device of a routed overlay: 2001:2:0:2::1 and ::2.
  var overlayAddress6: IPv6Address { six([0x2001, 2, 0, 2, 0, 0, 0, UInt16(host.number)]) }

  private func six(_ groups: [UInt16]) -> IPv6Address {
    IPv6Address(groups.flatMap { [UInt8($0 >> 8), UInt8($0 & 0xff)] })!
  }

  /// Locally administered.
  public var mac: MACAddress {
    MACAddress([0x02, 0xc0, 0, host == .a ? 0x0a : 0x0b, 0, UInt8(container ?? 0)] as [UInt8])!
  }

  /// Of the container's port in its host.
  var hostPortMAC: MACAddress { MACAddress(value: mac.value | 0x100) }
  var bridgeMAC: MACAddress { MACAddress(value: mac.value | 0x200) }
  var vxlanMAC: MACAddress { MACAddress(value: mac.value | 0x300) }
}

/// What a lab's devices are called.
public enum LabNames {
  /// The container's interface, and each host's end of the wire.
  public static let interface = "eth0"
  public static let uplink = "eth0"
  public static let bridge = "br0"
  public static let vxlan = "vx0"
  public static let vni: UInt32 = 42
  public static let port: UInt16 = 4789
  /// Of `nat`: divided among a host's containers. A service has all of them.
  public static let publishedPorts: ClosedRange<UInt16> = 20_000...59_999
  /// The nftables table of `nat`.
  static let table = "culvert"
}

/// The VXLAN device of a network.
public struct LabOverlay: Sendable {
  public var device: String
  public var vni: UInt32
  public var port: UInt16
}

extension LabSpec.Network {
  /// nil where packets between hosts are not encapsulated.
  public var overlay: LabOverlay? {
    switch self {
    case .vxlan: LabOverlay(device: LabNames.vxlan, vni: LabNames.vni, port: LabNames.port)
    case .flannel: LabOverlay(device: "flannel.1", vni: 1, port: 8472)
    case .calico: LabOverlay(device: "vxlan.calico", vni: 4096, port: LabNames.port)
    default: nil
    }
  }

  /// Of each host, with its containers as ports.
  public var bridge: String? { self == .flannel ? "cni0" : isBridged ? LabNames.bridge : nil }

  /// What `culvert up --overlay` is given to serve it; nil: nothing of it is Culvert's.
  public var served: String? { self == .vxlan || self == .bridge ? LabNames.bridge : overlay?.device }
}

extension LabSpec {
  /// The container's port in its host's namespace; nil where it has none.
  public func hostPort(_ identity: LabIdentity) -> String? {
    guard let container = identity.container, network.isBridged || network.isRouted else { return nil }
    return "\(network == .calico ? "cali" : "v")\(identity.host.letter)\(container)"
  }

  /// Hosts first, then containers.
  public var identities: [LabIdentity] {
    LabHost.allCases.map { LabIdentity(host: $0, container: nil) }
      + LabHost.allCases.flatMap { host in
        (0..<containers).map { LabIdentity(host: host, container: $0 + 1) }
      }
  }

  /// Whose namespace a node lives in: another's, which comes before it, or its own.
  func resident(_ identity: LabIdentity) -> LabIdentity {
    guard identity.container != nil else { return identity }
    return switch network {
    case .host: LabIdentity(host: identity.host, container: nil)
    case .container: LabIdentity(host: identity.host, container: 1)
    default: identity
    }
  }

  /// On `nat`, the ports of its host's address that lead to a container; TCP and UDP.
  public func publishedPorts(of container: Int) -> ClosedRange<UInt16> {
    let share = LabNames.publishedPorts.count / max(1, containers)
    let first = Int(LabNames.publishedPorts.lowerBound) + (container - 1) * share
    return UInt16(first)...UInt16(first + share - 1)
  }
}
