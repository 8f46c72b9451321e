// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import Netlink
import PacketHeaders

/// What could make the kernel decide otherwise about a routed overlay's packets.
extension RoutedSession {
  func gather(_ containers: [(link: Link, bridge: Link?)]) throws -> PolicyFacts {
    var facts = PolicyFacts()
    facts.overlayRules = try rules.rules()
    let own = programIDs.union(RuntimeDirectory.livingPrograms().keys)
    let disciplines = try connection.value.queueingDisciplines()
    let devices = Set(containers.flatMap { [$0.link, $0.bridge].compactMap { $0?.index } } + [vxlan.index, uplink.index])
    facts.overlayFilters = try PolicyFacts.filters(connection, behind: disciplines, on: devices, own)
    facts.overlayDisciplines = PolicyFacts.named(disciplines)
    facts.rules = try connection.value.rules()
    facts.encryption = try IPsec.policies()
    facts.endPrograms = PolicyFacts.endPrograms(containers.map(\.link), connection)
    return facts
  }

  /// Against the overlay as a whole, each reason with what to change; none that an option may override is left where
  /// the option was given.
  func objections(_ links: [Link], _ facts: PolicyFacts) -> [String] {
    var state: [String] = []
    if vxlan.master != nil { state.append("\(vxlan.name) has become a port of a bridge; run `culvert up` again") }
    if !vxlan.isUp { state.append("\(vxlan.name) is down") }
    if uplink.master != nil { state.append("\(uplink.name) is a port of another device, which takes its packets first") }
    // The FIB does not know which of them a transform is for.
    if !facts.encryption.isEmpty { state.append("IPsec has policies here (`ip xfrm policy`)") }
    for rule in facts.rules {
      if rule.bySourcePort { state.append("rule \(rule.priority) chooses a route by source port") }
      if rule.byMark { state.append("rule \(rule.priority) chooses a route by mark") }
    }
    var policy: [String] = []
    let everywhere = links.filter { $0.name != "lo" }.map { (name: $0.name, index: $0.index) }
    // Each prerouting, forward and postrouting chain that may do more to a forwarded packet than to accept it.
    let routed = PacketShape.bridged(isIPv4: true, input: everywhere, output: everywhere)
    for chain in facts.overlayRules.objections(to: routed, families: ["ip", "inet"], hooks: [0, 2, 4]) {
      policy.append("netfilter sees forwarded packets: \(chain.name): \(chain.description)")
    }
    if let config = vxlan.vxlan {
      let device = (name: uplink.name, index: uplink.index)
      for isLeaving in [true, false] {
        let outside = PacketShape.vxlan(
          from: isLeaving ? config.local.map { [$0] } ?? [] : [], to: isLeaving ? [] : config.local.map { [$0] } ?? [],
          ports: [config.port], uplink: device, isLeaving: isLeaving)
        for chain in facts.overlayRules.objections(
          to: outside, families: ["ip", "inet"], hooks: isLeaving ? [3, 4] : [0, 1])
        {
          policy.append("netfilter sees the overlay's packets: \(chain.name): \(chain.description)")
        }
      }
    }
    let chained = facts.overlayRules.objections(
      to: routed, families: ["netdev", "inet"], hooks: [5], device: { _ in true })
      + facts.overlayRules.objections(to: routed, families: ["netdev"], hooks: [0, 1], device: { _ in true })
    for chain in chained { policy.append("nftables chain \(chain.place) is bound to a device: \(chain.description)") }
    for device in [vxlan, uplink] {
      policy += trafficControl(device, facts).map { "\(device.name) has \($0)" }
      if device.index == vxlan.index, device.xdpAttached != 0 { policy.append("\(device.name) has an XDP program") }
    }
    return options.bypassPolicy ? state : state + policy
  }

  /// Against one port.
  func objection(to port: Link, _ bridge: Link?, _ facts: PolicyFacts) -> String? {
    var state: [String] = []
    if !port.isUp || !port.hasCarrier { state.append("is down or has no carrier") }
    var policy = trafficControl(port, facts).map { "has \($0)" }
    if port.xdpAttached != 0 { policy.append("has an XDP program") }
    if let bridge, let attributes = bridge.bridge {
      if attributes.vlanFiltering { state.append("\(bridge.name) filters VLANs (vlan_filtering 1)") }
      if attributes.ageingSeconds == 0 { state.append("\(bridge.name) forgets at once (ageing_time 0)") }
      if let own = port.bridgePort {
        if own.state != 3 { state.append("is not forwarding (STP state \(own.state))") }
        if own.isolated || own.locked || own.hasBackup || own.vlanTunnel {
          policy.append("is isolated or locked, or has a backup port or VLANs of tunnels")
        }
      }
      policy += trafficControl(bridge, facts).map { "\(bridge.name) has \($0)" }
      if bridge.xdpAttached != 0 { policy.append("\(bridge.name) has an XDP program") }
    }
    let all = options.bypassPolicy ? state : state + policy
    return all.isEmpty ? nil : all.joined(separator: "; ")
  }

  private func trafficControl(_ link: Link, _ facts: PolicyFacts) -> [String] {
    var found = facts.overlayFilters[link.index] ?? []
    if let qdisc = link.qdisc, !Policy.harmless.contains(qdisc) { found.append("qdisc \(qdisc)") }
    for discipline in facts.overlayDisciplines[link.index] ?? [] where !found.contains(discipline) {
      found.append(discipline)
    }
    return found
  }
}
