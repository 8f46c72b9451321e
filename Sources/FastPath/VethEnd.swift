// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import LinuxSystem
import Netlink

/// The other end of a veth: a container's, or an uplink's far end, and what a tier needs of it.
struct VethEnd {
  let index: Int32
  let name: String
  let namespaceInode: UInt64
  private let wanted: [String: Bool]
  private let ethtool: Box<Ethtool>

  /// Finds the other end of `port`; runs in the port's namespace.
  static func find(of port: Link, wanted: [String: Bool] = [:]) throws -> VethEnd {
    guard port.kind == "veth", let peer = port.peer else {
      throw Failure(
        "serve", port.name,
        advice:
          "Only veth ports can be served by this tier; \(port.name) is \(port.kind ?? "a hardware device").",
        status: .unavailable)
    }
    guard let id = port.peerNamespaceID else {
      return try open(peer, inode: NetworkNamespace.current().identity.inode, wanted)
    }
    guard let namespace = try NamespaceSearch.find(id, for: RouteConnection()) else {
      throw Failure(
        "find", "the namespace of \(port.name)'s other end",
        advice:
          "No process and no mount that this process may see holds it; run as root in the host's PID namespace."
      )
    }
    let inode = namespace.identity.inode
    return try namespace.run { try open(peer, inode: inode, wanted) }
  }

  /// Runs in the other end's namespace.
  private static func open(
    _ index: Int32, inode: UInt64, _ wanted: [String: Bool]
  ) throws -> VethEnd {
    VethEnd(
      index: index, name: try RouteConnection().link(index: index).name, namespaceInode: inode,
      wanted: wanted, ethtool: Box(try Ethtool()))
  }

  /// The features to change and their present state.
  func present() throws -> [String: Bool] {
    let features = try ethtool.value.features(of: name)
    return wanted.keys.reduce(into: [:]) { result, feature in
      if let state = features[feature] { result[feature] = state.isOn }
    }
  }

  /// The features that differ from what the fast path needs, as they are now.
  func differing() throws -> [String: Bool] {
    try present().filter { wanted[$0.key] != $0.value }
  }

  func set(_ features: [String: Bool]) throws { try ethtool.value.setFeatures(of: name, features) }

  /// Makes the kernel see GRO again: a veth only becomes a redirect target when GRO
  /// is switched on while the other end is up.
  func renewNAPI() throws {
    try set(["rx-gro": false])
    try set(["rx-gro": true])
  }
}

/// Whether frames can be redirected to a device at all.
enum RedirectTarget {
  /// Asked of the kernel, in the device's namespace; before 6.3 it does not say, and
  /// the answer is yes.
  static func isReady(_ link: Link, mode: XDPMode) throws -> Bool {
    // In generic mode frames leave through the stack's own transmit path.
    guard mode == .native, let features = try XDPFeatures.of(interface: link.index) else { return true }
    return features.contains(.redirectTarget)
  }

  static func failure(_ link: Link) -> Failure {
    let veth =
      "The far end of this veth runs no NAPI: `ethtool -K <far end> gro on`, while it is up."
    return Failure(
      "redirect frames to", link.name,
      advice: link.kind == "veth" ? veth : "Its driver cannot transmit redirected frames (ndo_xdp_xmit).",
      status: .unavailable)
  }
}
