// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import Netlink

/// The uplink, attached while a port is served and somebody remote is known.
extension Engine {
  /// What of the overlay as a whole keeps everything with the kernel; nil where nothing does.
  var stopReason: String? {
    let reasons = (policy.overlay + policy.uplink).map(\.description)
    if !reasons.isEmpty { return reasons.joined(separator: "; ") }
    if overlay.bridge?.isUp != true { return "\(place.bridge.name) is down" }
    guard let vxlan = place.vxlan else { return nil }
    if overlay.vxlan?.isUp != true { return "\(vxlan.name) is down" }
    if overlay.vxlan?.master != overlay.bridgeIndex { return "\(vxlan.name) has left \(place.bridge.name)" }
    return nil
  }

  /// False while nothing may be forwarded outside the kernel.
  var overlayIsServed: Bool { stopReason == nil }

  var hasUplink: Bool { uplinkIdle == nil && uplink?.isAttached == true }

  /// Why the uplink carries nothing of this overlay.
  var uplinkReason: String? { uplinkIdle ?? (hasUplink ? nil : uplink?.backoff?.description) }

  /// After the ports: without one that is served, nothing is to be decapsulated, and nothing to be sent.
  func reconcileUplink(_ stopped: String?) {
    guard let uplink else { return }
    let isAnyServed = ports.keys.contains { isServed($0) }
    let idle: String? =
      if ports.isEmpty {
        "\(place.bridge.name) has no container port yet"
      } else if !isAnyServed {
        "no port is served"
      } else {
        overlay.hasRemotes ? nil : "no remote MAC address is known yet"
      }
    uplinkIdle = stopped ?? idle
    if uplinkIdle == nil {
      uplink.use(domain: domain, journal)
    } else {
      try? tables.setVNIs([])
      for line in uplink.leave(domain: domain) { report(line) }
    }
  }
}
