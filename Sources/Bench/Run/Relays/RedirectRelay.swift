// SPDX-License-Identifier: Apache-2.0
import Lab
import LinuxSystem
import Netlink
import Traffic

extension TierDriver {
  /// Frames from the first container's port to the uplink and back, by XDP redirect without any work: what is left of
  /// a tier when all that it does is taken away.
  public static let redirect = TierDriver(name: Network.redirect.base) { host, _, _ in
    let ports = RelayPorts(host)
    return try host.run {
      let routes = try RouteConnection()
      return RedirectRelay(
        try FrameRelay(
          between: (UInt32(try routes.link(named: ports.container).index), ports.container),
          and: (UInt32(try routes.link(named: ports.uplink).index), ports.uplink)))
    }
  }
}

private final class RedirectRelay: TierAttachment {
  private let relay: FrameRelay
  init(_ relay: consuming FrameRelay) { self.relay = relay }
  var obtained: String { "XDP native" }
  func count() -> TierCount? { nil }
  // Detaches as it goes.
  func detach() {}
}
