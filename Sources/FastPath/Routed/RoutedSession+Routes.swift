// SPDX-License-Identifier: Apache-2.0
import CBPFObjects
import LinuxSystem
import Netlink
import PacketHeaders

/// The kernel's routes to the remote VTEPs, as far as a change can concern them.
extension RoutedSession {
  /// Those that a change may concern are asked for again, and twice a second a part of the others.
  func forgetChangedRoutes() {
    let now = Clock.monotonicNanoseconds
    let changes = following.begin(now: now)
    askedRoutes = askedRoutes.filter { !changes.concern($0) }
    guard now >= sampledAt + Self.checkInterval else { return }
    sampledAt = now
    askedRoutes.subtract(following.sample(512, of: tunnels.keys.map(\.route)) { underlay.routes[$0]?.isLearned == true })
  }

  func resolve(_ key: TunnelKey) throws -> UInt32? {
    if askedRoutes.insert(key.route).inserted {
      routesAsked += 1
      underlay.routes[key.route] = try connection.value.vtepRoute(
        VTEPQuestion(key.route, of: vxlan.vxlan!, uplink: uplink.index))
    }
    let resolution = key.resolve(device: vxlan, underlay: underlay)
    if let known = tunnels[key] {
      if known.resolution != resolution {
        try tables.set(resolution, of: key, uplink: uplinkPort.slot, slot: known.slot)
        tunnels[key]!.resolution = resolution
      }
      return known.slot
    }
    guard let slot = shared.tunnels.take(now: Clock.monotonicNanoseconds) else { return nil }
    try tables.set(resolution, of: key, uplink: uplinkPort.slot, slot: slot)
    tunnels[key] = (slot, resolution)
    return slot
  }

  /// Where the VXLAN arrives (RTN_LOCAL: the host takes packets to that address for its own; one may be gone, or not be
  /// used before duplicate address detection has ended).
  func heardAt(_ addresses: [InterfaceAddress]) throws -> Set<VNIKey> {
    guard let config = vxlan.vxlan else { return [] }
    let candidates = config.local.map { [$0] } ?? addresses.map(\.address)
    let mine = try candidates.filter { address in
      var query = RouteQuery(to: address)
      if address.isLinkLocal { query.outInterface = uplink.index }
      return try connection.value.routeIfAny(query)?.type == 2
    }
    return Set(
      mine.map {
        VNIKey(vni: config.vni, local: $0, port: config.port, takesZeroChecksum: config.takesZeroChecksum)
      })
  }
}
