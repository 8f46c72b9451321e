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
    let ports = containers.map {
      OverlayPlan.Port(name: $0.link.name, role: "container", reason: reason ?? objection(to: $0.link, $0.bridge, facts.policy))
    }
    let isNeeded = ports.contains { $0.reason == nil }
    let none = isNeeded ? nil : "no port would be served"
    plan.ports = [OverlayPlan.Port(name: uplink.name, role: "uplink", reason: reason ?? none)] + ports
    return plan
  }
}
