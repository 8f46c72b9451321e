// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import Netlink
import PacketHeaders
import SystemPackage

extension RouteConnection {
  /// The kernel's decision, or nil where it has no route.
  func routeIfAny(_ query: RouteQuery) throws(Failure) -> RouteDecision? {
    do throws(Failure) {
      return try route(query)
    } catch {
      let unreachable: [Errno] = [
        .networkUnreachable, .noRouteToHost, .noSuchAddressOrDevice, .invalidArgument, .permissionDenied,
      ]
      guard let errno = error.errno, unreachable.contains(errno) else { throw error }
      return nil
    }
  }
}
