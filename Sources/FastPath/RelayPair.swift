// SPDX-License-Identifier: Apache-2.0
import Glibc
import LinuxSystem
import Netlink

/// Tier tc's way between the namespace of an overlay and that of its uplinks (Docker's layout): a veth pair of Culvert's own,
/// entered by bpf_redirect_peer(), so that packets stay whole and are queued nowhere. It has no address and no IPv6,
/// and is there while a port of the overlay is attached to.
struct RelayPair: Equatable {
  let name: String
  /// Its ends, in the overlay's namespace and in the uplink's.
  let inside: Int32
  let outside: Int32

  /// As long as an interface's name may be, and the same for the same bridge.
  static func name(of overlay: NetworkNamespace.Identity, bridge: Int32) -> String {
    "cv\(String(overlay.inode & 0xffff_ffff, radix: 16))-\(bridge)"
  }

  /// Makes the pair, in place of one that a killed process left; runs in the overlay's namespace.
  static func make(named name: String, to uplinks: Box<NetworkNamespace>) throws -> RelayPair {
    try remove(named: name)
    let route = try RouteConnection()
    try route.createVeth(
      LinkSettings(name, mtu: largestMTU), LinkSettings(name, mtu: largestMTU, namespace: uplinks.value.descriptor.raw))
    do {
      let inside = try ready(name)
      let outside = try uplinks.value.run { try ready(name) }
      return RelayPair(name: name, inside: inside, outside: outside)
    } catch {
      _ = try? remove(named: name)
      throw error
    }
  }

  /// IP_MAX_MTU: what is handed over is never too long for it.
  private static let largestMTU: UInt32 = 65_535

  /// Sets an end up, silent; runs in its namespace.
  private static func ready(_ name: String) throws -> Int32 {
    let route = try RouteConnection()
    let link = try route.link(named: name)
    // IN6_ADDR_GEN_MODE_NONE. A kernel without IPv6 has no such files.
    for (key, value) in [("addr_gen_mode", "1"), ("disable_ipv6", "1")] {
      try? FileText.write(value, to: "/proc/sys/net/ipv6/conf/\(name)/\(key)")
    }
    try route.setUp(link.index)
    return link.index
  }

  /// Also where there is none; runs in a namespace of either end. False where there was nothing to remove.
  @discardableResult
  static func remove(named name: String) throws -> Bool {
    let route = Box(try RouteConnection())
    guard let link = try route.value.links().first(where: { $0.name == name && $0.kind == "veth" }) else {
      return false
    }
    return try delete(link.index, route)
  }

  private static func delete(_ link: Int32, _ route: Box<RouteConnection>) throws(Failure) -> Bool {
    do throws(Failure) {
      try route.value.delete(link: link)
      return true
    } catch {
      guard error.errno?.rawValue == ENODEV else { throw error }
      return false
    }
  }

  /// Why nothing gets through; runs in the overlay's namespace. An end that is down drops everything and counts nothing.
  func objection(from uplinks: Box<NetworkNamespace>) throws -> String? {
    let place = outside
    let there = try uplinks.value.run { Self.end(place) }
    for end in [Self.end(inside), there] {
      guard let end, end.name == name else { return "its relay \(name) to the uplink's namespace is gone" }
      if !end.isUp { return "its relay \(name) to the uplink's namespace was set down" }
    }
    return nil
  }

  private static func end(_ index: Int32) -> Link? { try? RouteConnection().link(index: index) }
}

extension Journal {
  /// A relay that outlives its process.
  struct Relay: Codable, Equatable {
    /// The uplink's.
    var namespaceInode: UInt64
    var namespaceCookie: UInt64?
    var name: String

    /// False where there is nothing left to undo.
    func undo() throws -> Bool {
      func undoHere() throws -> Bool {
        guard namespaceCookie == nil || NamespaceReference.currentCookie() == namespaceCookie else { return false }
        return try RelayPair.remove(named: name)
      }
      guard try NetworkNamespace.current().identity.inode != namespaceInode else { return try undoHere() }
      guard let namespace = NamespaceSearch.find(inode: namespaceInode) else { return false }
      return try namespace.run { try undoHere() }
    }
  }
}
