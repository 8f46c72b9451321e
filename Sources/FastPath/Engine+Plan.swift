// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import Netlink

extension Engine: PlannedSession {
  func plan() throws -> OverlayPlan {
    try readKernel()
    try judge()
    for link in overlay.ports { ports[link.index] = ServedPort(link) }
    var plan = OverlayPlan(
      overlay: place.bridge.name, namespace: options.namespace ?? "\(place.identity)",
      vxlan: place.vxlan?.name ?? "", vni: place.vxlan?.vxlan?.vni ?? 0, uplink: place.uplink?.name ?? "",
      tier: tier.tier.rawValue, mode: tier.mode)
    let living = RuntimeDirectory(namespace: place.identity, bridge: place.bridge.index)
    if living.isHeld, let owner = living.owner { plan.reason = "process \(owner.pid) serves it already" }
    let containers = overlay.ports.sorted { $0.index < $1.index }.map(planned)
    plan.ports = containers
    if let uplink {
      let isNeeded = containers.contains { $0.reason == nil } && overlay.hasRemotes
      plan.ports.insert(try planned(uplink, isNeeded: isNeeded), at: 0)
    }
    return plan
  }

  private func planned(_ link: Link) -> OverlayPlan.Port {
    var port = OverlayPlan.Port(name: link.name, role: "container", reason: against(link.index, stopped: stopReason)?.reason)
    guard port.reason == nil else { return port }
    if link.xdpAttached != 0 {
      port.reason = "another XDP program is attached"
    } else {
      shared.plan(&port, of: link) { tooLong(link, $0) }
    }
    return port
  }

  private func planned(_ uplink: Uplink, isNeeded: Bool) throws -> OverlayPlan.Port {
    var port = OverlayPlan.Port(name: uplink.link.name, role: "uplink", reason: stopReason)
    if port.reason == nil, !isNeeded { port.reason = "no port would be served, or no remote MAC address is known yet" }
    guard port.reason == nil else { return port }
    try shared.inside { try shared.plan(&port, ofUplink: uplink.link) }
    if tier.tier == .tc, place.isSplit {
      port.changes.append("a veth pair between this namespace and the uplink's, while a port is served")
    }
    return port
  }
}
