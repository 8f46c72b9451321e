// SPDX-License-Identifier: Apache-2.0
import Glibc
import LinuxSystem
import Netlink
import SystemPackage

/// The other end of a veth: a container's, or an uplink's far end. It is asked and changed by entering its namespace for
/// that moment; nothing is held there, so that a container goes when its owner lets it go.
struct VethPeer {
  let index: Int32
  /// When it was found; it may be renamed.
  let name: String
  let mtu: UInt32
  let namespace: NamespaceReference
  /// Features a tier needs on or off, by their names in ethtool.
  let wanted: [String: Bool]

  /// Finds the other end of `port`; runs in the port's namespace.
  static func find(of port: Link, wanted: [String: Bool] = [:]) throws -> VethPeer {
    guard port.kind == "veth", let index = port.peer else {
      throw Failure(
        "serve", port.name,
        advice:
          "\(port.name) is \(port.kind.map { "a \($0) device" } ?? "a hardware device"); this tier serves veth ports only.",
        status: .unavailable)
    }
    guard let namespace = try reference(to: port) else {
      throw Failure(
        "find", "the namespace of \(port.name)'s veth peer",
        advice:
          "No process and no mount that this process may see holds it; run as root in the host's PID namespace."
      )
    }
    guard let link = try namespace.run({ try RouteConnection().link(index: index) }) else {
      throw Failure(
        "find", "the veth peer of \(port.name)", errno: Errno(rawValue: ENODEV),
        advice: "Its namespace is gone.")
    }
    return VethPeer(index: index, name: link.name, mtu: link.mtu, namespace: namespace, wanted: wanted)
  }

  private static func reference(to port: Link) throws -> NamespaceReference? {
    guard let id = port.peerNamespaceID else {
      return try NamespaceReference(NetworkNamespace.current(), path: "/proc/thread-self/ns/net")
    }
    return try NamespaceSearch.reference(id, for: RouteConnection())
  }

  /// What a look at it told.
  struct State: Equatable {
    var mtu: UInt32
    /// The features that differ from what is wanted, as they are.
    var differing: [String: Bool]
  }

  /// nil where it is gone, or has moved to another namespace.
  func state() throws -> State? {
    try inside { ethtool, name in
      State(
        mtu: try RouteConnection().link(index: index).mtu,
        differing: try Self.differing(from: wanted, of: name, ethtool))
    }
  }

  /// The features of `wanted` that the device has and that are not as wanted, as they are.
  func differing() throws -> [String: Bool] { try state()?.differing ?? [:] }

  /// False where there is nothing left to set.
  @discardableResult
  func set(_ features: [String: Bool]) throws -> Bool {
    try inside { ethtool, name in try ethtool.setFeatures(of: name, features) } != nil
  }

  /// TcpOutSegs of its namespace (RFC 2013), by all its interfaces.
  func tcpSegmentsSent() throws -> UInt64? {
    let text = try namespace.run { try FileText.read("/proc/thread-self/net/snmp") }
    let tcp = text?.split(separator: "\n").filter { $0.hasPrefix("Tcp:") }.map { $0.split(separator: " ") } ?? []
    guard tcp.count == 2, let place = tcp[0].firstIndex(of: "OutSegs"), place < tcp[1].count else { return nil }
    return UInt64(tcp[1][place])
  }

  /// Whether it is to send TCP in segments of up to 64 KiB, where nothing keeps it from that.
  func wantsSegmentation() throws -> Bool {
    try inside { ethtool, name in try ethtool.features(of: name)["tx-tcp-segmentation"]?.isRequested == true } == true
  }

  /// Makes the kernel see GRO again: a veth only becomes a redirect target when GRO
  /// is switched on while the other end is up.
  func renewNAPI() throws {
    try set(["rx-gro": false])
    try set(["rx-gro": true])
  }

  private static func differing(
    from wanted: [String: Bool], of name: String, _ ethtool: borrowing Ethtool
  ) throws -> [String: Bool] {
    guard !wanted.isEmpty else { return [:] }
    let features = try ethtool.features(of: name)
    return wanted.reduce(into: [:]) { result, one in
      if let state = features[one.key], state.isOn != one.value, !state.isFixed {
        result[one.key] = state.isOn
      }
    }
  }

  private func inside<T>(_ body: (borrowing Ethtool, String) throws -> T) throws -> T? {
    let found = try namespace.run { () throws -> T? in
      guard let name = Self.interfaceName(index) else { return nil }
      return try body(Ethtool(), name)
    }
    return found ?? nil
  }

  private static func interfaceName(_ index: Int32) -> String? {
    var buffer = [CChar](repeating: 0, count: Int(IF_NAMESIZE))
    return if_indextoname(UInt32(index), &buffer).map { String(cString: $0) }
  }
}
