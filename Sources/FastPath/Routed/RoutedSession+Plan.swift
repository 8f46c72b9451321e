// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import Netlink

extension RoutedSession: PlannedSession {
  func plan() throws -> OverlayPlan {
    let links = try connection.value.links()
    let addresses = try addressesByIP()
    let containers = try containerPorts(links, addresses)
    let facts = try gather(containers, addresses)
    var plan = OverlayPlan(
      overlay: name, namespace: options.namespace ?? "\(identity)", vxlan: name,
      vni: vxlan.vxlan?.vni ?? 0, uplink: uplink.name, tier: tier.tier.rawValue, mode: tier.mode)
    let living = RuntimeDirectory(namespace: identity, bridge: vxlan.index)
    if living.isHeld, let owner = living.owner { plan.reason = "process \(owner.pid) serves it already" }
    try readRoutes(now: Clock.monotonicNanoseconds)
    present = present(addresses)
    judge(InnerIP.allCases.map { ($0, forwardPath($0, containers)) }, to: vteps(try connection.value.fdb()), facts)
    plan.left = leftInside
    let reason = reasons.isEmpty ? nil : reasons.joined(separator: "; ")
    let ports = containers.map { link, bridge in
      var port = OverlayPlan.Port(
        name: link.name, role: "container", reason: reason ?? objection(to: link, bridge, facts.policy))
      guard port.reason == nil else { return port }
      if !tier.keepsSegments, link.xdpAttached != 0 {
        port.reason = "another XDP program is attached"
      } else {
        shared.plan(&port, of: link) { tooLong(link, $0) }
      }
      return port
    }
    let isNeeded = ports.contains { $0.reason == nil }
    let none = isNeeded ? nil : "no port would be served"
    var up = OverlayPlan.Port(name: uplink.name, role: "uplink", reason: reason ?? none)
    if up.reason == nil { try shared.plan(&up, ofUplink: uplink) }
    plan.ports = [up] + ports
    return plan
  }
}
