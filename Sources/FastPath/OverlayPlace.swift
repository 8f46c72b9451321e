// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import Netlink
import PacketHeaders
import SystemPackage

/// Where an overlay lives: its devices, its uplink, and the namespaces of both.
/// Bridge and VXLAN device may live in another namespace than the uplink
/// (Docker does this); the VXLAN device's route look-ups happen in the uplink's.
/// A bridge alone (docker0, cni0) has neither: it is served for what its ports send each other.
final class OverlayPlace {
  let bridge: Link
  let vxlan: Link?
  let uplink: Link?
  let identity: NetworkNamespace.Identity
  let overlayConnection: Box<RouteConnection>
  let overlayMonitor: Box<RouteMonitor>
  let underlayConnection: Box<RouteConnection>
  /// The overlay's own where both are in one namespace.
  let underlayMonitor: Box<RouteMonitor>
  /// ICMP errors about what the overlay sends; nil where nothing leaves the host.
  let errors: Box<ErrorMonitor>?
  /// Changes of IPsec's policies; nil where the kernel has none.
  let encryption: Box<IPsecMonitor>?
  /// Changes of the containers' ends of their veth pairs; nil where that is not permitted.
  let peers: Box<ForeignLinkMonitor>?
  private let underlayNamespace: Box<NetworkNamespace>?
  /// By something that can be seen from here.
  private let underlayWasHeld: Bool

  var isSplit: Bool { underlayNamespace != nil }

  /// The underlay's IP is that.
  var isIPv6: Bool { vxlan?.vxlan?.isIPv6 == true }

  /// Whether only what this process has open keeps one of the namespaces: its owner has deleted it. The name by
  /// which the overlay's was given is looked at first.
  func isAbandoned(named reference: String?, _ looks: NamespaceLooks) -> Bool {
    let age: UInt64 = 900_000_000
    if let reference, NetworkNamespace.identity(of: reference) != identity, !looks.isHeld(identity, age: age) {
      return true
    }
    guard underlayWasHeld, let underlayNamespace else { return false }
    return !looks.isHeld(underlayNamespace.value.identity, age: age)
  }

  var underlayIdentity: NetworkNamespace.Identity { underlayNamespace?.value.identity ?? identity }

  /// Runs `body` in the underlay's namespace.
  func inUnderlay<T>(_ body: () throws -> T) throws -> T {
    guard let underlayNamespace else { return try body() }
    return try underlayNamespace.value.run(body)
  }

  /// Finds everything from `--overlay`; runs in the overlay's namespace.
  init(_ options: FastPathOptions) throws {
    let here = try NetworkNamespace.current()
    identity = here.identity
    // Followed before it is dumped, so that no change falls between.
    overlayMonitor = Box(try RouteMonitor())
    peers = try Self.followPeers()
    overlayConnection = Box(try RouteConnection())
    let links = try overlayConnection.value.links()
    (bridge, vxlan) = try Self.devices(named: options.overlay, in: links)
    guard let vxlan else {
      try Self.requireAlone(options)
      (uplink, errors, encryption) = (nil, nil, nil)
      (underlayNamespace, underlayWasHeld) = (nil, false)
      (underlayMonitor, underlayConnection) = (overlayMonitor, overlayConnection)
      return
    }
    try Self.requirePlain(vxlan)
    let isIPv6 = vxlan.vxlan?.isIPv6 == true

    let underlay = try Self.underlay(of: vxlan, options, asking: overlayConnection)
    if let underlay, underlay.value.identity != here.identity {
      underlayNamespace = underlay
      (underlayMonitor, underlayConnection, errors, encryption) = try underlay.value.run {
        (
          Box(try RouteMonitor()), Box(try RouteConnection()), Box(try ErrorMonitor(ofIPv6: isIPv6)),
          try IPsecMonitor.open()
        )
      }
    } else {
      underlayNamespace = nil
      underlayMonitor = overlayMonitor
      underlayConnection = overlayConnection
      errors = Box(try ErrorMonitor(ofIPv6: isIPv6))
      encryption = try IPsecMonitor.open()
    }
    if isIPv6 { try underlayMonitor.value.followIPv6Routing() }
    underlayWasHeld = underlayNamespace.map { NamespaceSearch.isHeld($0.value.identity) } ?? false
    let uplink = try Self.findUplink(
      vxlan, options, underlay: underlayConnection, overlay: overlayConnection)
    // What the overlay is made of cannot carry it, whatever the name says.
    let isOfOverlay = uplink.index == bridge.index || uplink.master == bridge.index
    guard underlayNamespace != nil || !isOfOverlay else {
      throw Failure(
        "use as uplink", uplink.name,
        advice:
          "It is \(uplink.index == bridge.index ? "the overlay's bridge itself" : "a port of \(bridge.name)"); "
          + "name the interface that the VXLAN packets leave by.", status: .usage)
    }
    self.uplink = uplink
  }

  private static func followPeers() throws -> Box<ForeignLinkMonitor>? {
    do {
      return try ForeignLinkMonitor.open()
    } catch where error.errno == .notPermitted {
      // They are looked at once a second in any case.
      return nil
    }
  }

  private static func devices(named name: String, in links: [Link]) throws -> (bridge: Link, vxlan: Link?) {
    guard let device = links.first(where: { $0.name == name }) else {
      let overlays = links.filter { $0.kind == "vxlan" }.map(\.name)
      throw Failure(
        "find", name, errno: Errno(rawValue: 19),
        advice: overlays.isEmpty
          ? "This namespace has no VXLAN device; name the overlay's with --netns."
          : "VXLAN devices here: \(overlays.joined(separator: ", ")).")
    }
    switch device.kind {
    case "vxlan":
      guard let bridge = links.first(where: { $0.index == device.master && $0.kind == "bridge" }) else {
        throw Failure(
          "serve", name, advice: "\(name) is not a port of a bridge.",
          status: .unavailable)
      }
      return (bridge, device)
    case "bridge":
      let devices = links.filter { $0.kind == "vxlan" && $0.master == device.index }
      guard devices.count <= 1 else {
        throw Failure(
          "serve", name,
          advice:
            "\(name) has \(devices.count) VXLAN devices (\(devices.map(\.name).joined(separator: ", "))); "
            + "only a bridge with one is served.",
          status: .unavailable)
      }
      return (device, devices.first)
    default:
      throw Failure(
        "serve", name,
        advice:
          "\(name) is \(device.kind.map { "a \($0) device" } ?? (device.name == "lo" ? "the loopback device" : "a hardware device")); give a bridge or a VXLAN device.",
        status: .usage)
    }
  }

  /// What was asked for must make sense without a VXLAN device.
  private static func requireAlone(_ options: FastPathOptions) throws {
    let name = options.overlay
    if let tier = options.tier ?? (options.mode == .generic ? .xdp : nil), tier != .tc {
      throw Failure(
        "serve", name,
        advice: "It is a bridge without a VXLAN device; only tier tc serves that, not \(tier.rawValue).",
        status: .unavailable)
    }
    let named = options.uplink ?? options.uplinkNamespace
    guard named == nil && !options.strict else {
      throw Failure(
        "serve", name,
        advice: "It is a bridge without a VXLAN device: it has no \(named == nil ? "VTEPs" : "uplink").",
        status: .usage)
    }
  }

  /// ARP proxying and miss notifications concern packets that go to the kernel anyway.
  private static let harmlessExtensions: Set<String> = ["proxy", "l2miss", "l3miss"]

  static func requirePlain(_ vxlan: Link) throws {
    guard let config = vxlan.vxlan else {
      throw Failure("read", "\(vxlan.name)'s configuration", status: .unavailable)
    }
    let odd = config.extensions.filter { !harmlessExtensions.contains($0) }
    guard odd.isEmpty else {
      throw Failure(
        "serve", vxlan.name,
        advice: "It uses \(odd.joined(separator: ", ")), which the fast path does not support.",
        status: .unavailable)
    }
  }

  static func requireIPv4(_ vxlan: Link, _ what: String) throws {
    guard vxlan.vxlan?.isIPv6 == true else { return }
    throw Failure(
      "serve", vxlan.name, advice: "Its underlay is IPv6, over which \(what) is not served.", status: .unavailable)
  }

  private static func underlay(
    of vxlan: Link, _ options: FastPathOptions, asking connection: Box<RouteConnection>
  ) throws -> Box<NetworkNamespace>? {
    if let given = options.uplinkNamespace { return Box(try NetworkNamespace.open(given)) }
    guard let id = vxlan.peerNamespaceID else { return nil }
    guard let found = try NamespaceSearch.find(id, for: connection.value) else {
      throw Failure(
        "find", "the namespace of \(vxlan.name)'s uplink",
        advice: "No process and no mount here holds it; name it with --uplink-netns.")
    }
    return Box(found)
  }
}
