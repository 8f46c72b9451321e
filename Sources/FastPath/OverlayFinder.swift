// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import Netlink

/// An overlay by what it is made of: a bridge with a VXLAN device, or a VXLAN device that is routed to.
struct FoundOverlay {
  /// The bridge, or the VXLAN device.
  var device: Device
  var name: String
  /// How its namespace was found; nil of the one that is looked in first.
  var reference: String?

  var label: String { reference.map { "\(name) in \($0)" } ?? name }
}

/// Finds overlays: in the namespace it was made in at once when a link changes, and where that is asked for, in the
/// namespaces that processes and mounts hold, by looking.
final class OverlayFinder {
  /// Other namespaces are looked at so often while they are young: nothing announces them.
  private static let interval: UInt64 = 2_000_000_000
  private static let youth: UInt64 = 60_000_000_000
  private static let matureInterval: UInt64 = 30_000_000_000
  /// Changes come together.
  private static let delay: UInt64 = 200_000_000

  private struct Place {
    var reference: String?
    var firstSeen: UInt64
    var lookedAt: UInt64
    var overlays: [FoundOverlay]
  }

  private let home: NetworkNamespace.Identity
  private let links: Box<LinkAnnouncements>
  private let connection: Box<RouteConnection>
  /// Paths of namespaces to look in besides its own; nil for none.
  private let candidates: (() -> [String])?
  private var places: [NetworkNamespace.Identity: Place] = [:]
  private(set) var deadline: UInt64 = 0

  /// Runs in the namespace that is looked in first.
  init(home: NetworkNamespace.Identity, candidates: (() -> [String])? = nil) throws {
    self.home = home
    self.candidates = candidates
    // Followed before it is listed, so that no change falls between.
    links = try LinkAnnouncements.open()
    connection = Box(try RouteConnection())
  }

  var descriptor: Int32 { links.value.descriptor }

  /// The descriptor is readable: a link has changed.
  func note(now: UInt64) {
    links.value.drain()
    deadline = min(deadline, now + Self.delay)
  }

  /// Every overlay that there is. A namespace that cannot be looked into at the moment is as it was.
  func look(now: UInt64) throws -> [FoundOverlay] {
    places[home] = Place(
      firstSeen: now, lookedAt: now, overlays: Self.overlays(in: try connection.value.links(), of: home))
    deadline = .max
    if let candidates {
      lookElsewhere(candidates(), now)
      deadline = now + Self.interval
    }
    return places.values.flatMap(\.overlays)
  }

  private func lookElsewhere(_ paths: [String], _ now: UInt64) {
    var present: Set<NetworkNamespace.Identity> = [home]
    for path in paths {
      guard let identity = NetworkNamespace.identity(at: path), present.insert(identity).inserted else { continue }
      let known = places[identity]
      let isMature = known.map { now - $0.firstSeen > Self.youth } ?? false
      if let known, isMature, now - known.lookedAt < Self.matureInterval { continue }
      guard let namespace = try? NetworkNamespace.open(path), namespace.identity == identity,
        let links = try? namespace.run({ try RouteConnection().links() })
      else { continue }
      let reference = NetworkNamespace.plainName(of: path)
      places[identity] = Place(
        reference: reference, firstSeen: known?.firstSeen ?? now, lookedAt: now,
        overlays: Self.overlays(in: links, of: identity, reference))
    }
    places = places.filter { present.contains($0.key) }
  }

  /// A bridge counts once, however many VXLAN devices it has.
  static func overlays(
    in links: [Link], of namespace: NetworkNamespace.Identity, _ reference: String? = nil
  ) -> [FoundOverlay] {
    var found: [FoundOverlay] = []
    for vxlan in links where vxlan.kind == "vxlan" {
      let bridge = links.first { $0.index == vxlan.master && $0.kind == "bridge" }
      let device = Device(namespace: namespace, index: (bridge ?? vxlan).index)
      guard !found.contains(where: { $0.device == device }) else { continue }
      found.append(FoundOverlay(device: device, name: (bridge ?? vxlan).name, reference: reference))
    }
    return found
  }
}
