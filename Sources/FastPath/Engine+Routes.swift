// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import Netlink
import PacketHeaders

/// The kernel's routes to the remote VTEPs in use, and what else it decides by them.
extension Engine {
  /// Asks for every route again, as after a dump.
  func askRoutes() throws { try ask(for: Array(table.tunnelsByRoute.keys)) }

  /// Asks for the routes that changes may concern, once they are due.
  func askChangedRoutes() throws {
    let start = Clock.monotonicNanoseconds
    guard let due = following.due, due <= start else { return }
    let changes = following.begin(now: start)
    // A rule may choose by what no look-up is asked with.
    if changes.isEverything { try checkRoutingRules() }
    try ask(for: table.tunnelsByRoute.keys.filter { changes.concern($0) })
    if changes.isEverything || locals.contains(where: { changes.concern($0) }) { try publishAddresses() }
    following.end(start: start, now: Clock.monotonicNanoseconds)
  }

  /// Once a second.
  func checkRoutes() throws {
    let keys = Array(table.tunnelsByRoute.keys)
    try ask(
      for: following.sample(64, of: keys) { underlay.routes[$0]?.isLearned == true }, age: Self.checkInterval / 2)
  }

  /// ICMP errors arrived: the kernel may have learned a path MTU or another gateway.
  func noteErrors() throws {
    guard let config = overlay.vxlan?.vxlan, let errors = place.errors else { return }
    let remotes = errors.value.receive(port: config.port)
    let now = Clock.monotonicNanoseconds
    for remote in remotes { following.note(remote, now: now) }
  }

  /// - Parameter age: what another overlay was told may be so old, in nanoseconds.
  private func ask(for keys: some Sequence<RouteKey>, age: UInt64 = 0) throws {
    var changed: [RouteKey] = []
    for key in keys {
      let decision = try route(to: key, age: age)
      guard decision != underlay.routes[key] else { continue }
      underlay.routes[key] = decision
      changed.append(key)
    }
    try table.updateTunnels(by: changed, overlay: overlay, underlay: underlay)
  }

  func route(to key: RouteKey, age: UInt64 = 0) throws -> RouteDecision? {
    guard let config = overlay.vxlan?.vxlan else { return nil }
    routesAsked += 1
    return try looks.route(
      VTEPQuestion(key, of: config, uplink: place.uplink?.index), place.underlayIdentity, place.underlayConnection,
      age: age)
  }

  /// The addresses at which this overlay's VXLAN arrives, and who may send it.
  func publishAddresses() throws {
    guard overlayIsServed, hasUplink, let config = overlay.vxlan?.vxlan else {
      return try tables.setVNIs([])
    }
    // First who may speak, then what is heard.
    if options.strict { try tables.setVTEPs(overlay.configuredVTEPs) }
    let connection = place.underlayConnection
    let candidates =
      try config.local.map { [$0] } ?? connection.value.addresses(ofIPv6: config.isIPv6).map(\.address)
    locals = Set(candidates)
    // RTN_LOCAL: the host takes packets to it for its own. An address may be gone, or be there on an
    // interface that is down.
    let mine = try locals.filter { address in
      var query = RouteQuery(to: address)
      if address.isLinkLocal { query.outInterface = place.uplink?.index }
      return try connection.value.routeIfAny(query)?.type == 2
    }
    try tables.setVNIs(
      Set(
        mine.map {
          VNIKey(vni: config.vni, local: $0, port: config.port, takesZeroChecksum: config.takesZeroChecksum)
        }))
  }

  /// Sysctls that decide about outer headers. True where one changed.
  @discardableResult
  func readSysctls(age: UInt64 = 0) throws -> Bool {
    let before = (underlay.localPortRange, underlay.defaultTTL, underlay.ipv6)
    // The device's own namespace has the say over source ports, the underlay's over TTL.
    let range = looks.sysctl("net/ipv4/ip_local_port_range", place.identity, age: age)?.split(separator: "\t").compactMap { UInt16($0) }
    if let range, range.count == 2, range[0] <= range[1] { underlay.localPortRange = range[0]...range[1] }
    try place.inUnderlay {
      func read(_ name: String) -> String? { looks.sysctl("net/\(name)", place.underlayIdentity, age: age) }
      if let ttl = read("ipv4/ip_default_ttl").flatMap({ UInt8($0) }) { underlay.defaultTTL = ttl }
      guard place.isIPv6, let uplink = place.uplink?.name else { return }
      underlay.ipv6.hopLimit = read("ipv6/conf/\(uplink)/hop_limit").flatMap { UInt8($0) } ?? 64
      underlay.ipv6.mtu = read("ipv6/conf/\(uplink)/mtu").flatMap { UInt32($0) }
    }
    return before != (underlay.localPortRange, underlay.defaultTTL, underlay.ipv6)
  }

  func checkSysctls() throws {
    if try readSysctls(age: Self.checkInterval / 2) { try table.updateTunnels(overlay: overlay, underlay: underlay) }
  }
}
