// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import Netlink
import PacketHeaders
import SystemPackage

/// What of a VXLAN device and its uplink the route to a VTEP depends on: devices that ask the same get the same.
struct VTEPQuestion: Hashable {
  let key: RouteKey
  let local: IPAddress?
  /// The DSCP; older kernels look at a part of it.
  let tos: UInt8
  let uplink: Int32?
}

extension VTEPQuestion {
  init(_ key: RouteKey, of config: VXLANAttributes, uplink: Int32?) {
    self.init(key: key, local: config.local, tos: config.tos == 1 ? 0 : config.tos & 0xfc, uplink: uplink)
  }
}

/// The route of a VXLAN device's packets.
extension RouteConnection {
  /// Asks as the VXLAN device does (vxlan_xmit_one), but for the source port, which differs by flow: rules on
  /// that are a policy. Also asks whether the host takes in what comes back.
  func vtepRoute(_ question: VTEPQuestion) throws -> RouteDecision? {
    let key = question.key
    var query = RouteQuery(to: key.remote)
    query.source = question.local
    query.outInterface = key.outInterface == 0 ? nil : key.outInterface
    query.protocolNumber = 17
    query.destinationPort = key.port
    query.tos = question.tos
    guard var decision = try routeIfAny(query) else { return nil }
    if let local = question.local ?? decision.preferredSource {
      decision.refusesSource = try !takesIn(from: key, to: local, uplink: question.uplink)
    }
    return decision
  }

  /// Whether the kernel would take a VTEP's packet for its own: ip_route_input() knows rp_filter, rules and routes.
  private func takesIn(from key: RouteKey, to local: IPAddress, uplink: Int32?) throws -> Bool {
    var query = RouteQuery(to: local)
    query.source = key.remote
    query.inInterface = uplink
    query.protocolNumber = 17
    query.destinationPort = key.port
    do throws(Failure) {
      return try inputRoute(query).type == 2
    } catch {
      // EXDEV: rp_filter; EINVAL: that or a martian; the others are what routes and rules say.
      let refusals: [Errno] = [
        .improperLink, .invalidArgument, .networkUnreachable, .noRouteToHost, .permissionDenied,
      ]
      guard let errno = error.errno, refusals.contains(errno) else { throw error }
      return false
    }
  }
}
