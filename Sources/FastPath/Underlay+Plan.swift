// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import Netlink

/// What attaching would change, or why it cannot be; nothing is changed.
extension Underlay {
  /// Runs in the port's namespace.
  /// - Parameter tooLong: why a far end's MTU is too large for the port.
  func plan(_ port: inout OverlayPlan.Port, of link: Link, tooLong: (UInt32) -> String?) {
    port.reason = tier.objection(toPort: link)
    guard port.reason == nil, !tier.portEndFeatures.isEmpty else { return }
    do {
      let peer = try VethPeer.find(of: link, wanted: tier.portEndFeatures)
      port.reason = tooLong(peer.mtu)
      port.changes = try Self.changes(of: peer)
    } catch { port.reason = Engine.oneLine(error) }
  }

  /// Runs in the uplink's namespace.
  func plan(_ port: inout OverlayPlan.Port, ofUplink link: Link) throws {
    port.reason = try tier.objection(toUplink: link)
    guard link.kind == "veth", !tier.uplinkEndFeatures.isEmpty else { return }
    do {
      port.changes = try Self.changes(of: VethPeer.find(of: link, wanted: tier.uplinkEndFeatures))
    } catch { port.reason = Engine.oneLine(error) }
  }

  private static func changes(of peer: VethPeer) throws -> [String] {
    try peer.differing().sorted { $0.key < $1.key }.map {
      "\(peer.name), its veth peer: \($0.key) \($0.value ? "off" : "on")"
    }
  }
}
