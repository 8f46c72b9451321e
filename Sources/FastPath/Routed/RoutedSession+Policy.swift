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
    facts.encryption = try IPsec.policies().filter { $0.isIPv6 != true }
    facts.uplinkAddresses = Set(try connection.value.addresses().filter { $0.link == uplink.index }.map(\.address))
    facts.endPrograms = PolicyFacts.endPrograms(containers.map(\.link), connection)
    return facts
  }

  /// Against the overlay as a whole, each reason with what to change; none that an option may override is left where
  /// the option was given.
  func objections(
    _ path: ForwardPath, to vteps: [(remote: IPAddress, port: UInt16?)], _ facts: PolicyFacts
  ) -> [String] {
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
    if options.policy == .connections, path.here.isEmpty, !path.containers.isEmpty {
      state.append("no route leads to its containers' addresses, by which their connections would be known")
    }
    var policy: [String] = []
    switch path.demand(of: facts.overlayRules) {
    case .nothing: break
    case .connections(let rule) where options.policy == .kernel, .someConnections(let rule) where options.policy == .kernel:
      policy.append(
        "netfilter sees forwarded packets: \(rule.name): \(rule.description); --policy connections would serve "
          + "established connections")
    case .connections, .someConnections: break
    case .eachPacket(let rule):
      policy.append("netfilter sees each forwarded packet: \(rule.name): \(rule.description)")
    }
    let sources = facts.uplinkAddresses.union(underlay.routes.values.compactMap(\.preferredSource))
    let outside = vxlan.vxlan.flatMap {
      UnderlayTraffic($0, to: vteps, addresses: Array(sources), uplink: uplink)
    }
    for chain in outside?.objections(in: facts.overlayRules) ?? [] {
      policy.append("netfilter sees the overlay's packets: \(chain.name): \(chain.description)")
    }
    let device = (name: uplink.name, index: uplink.index)
    let any = PacketShape.bridged(isIPv4: true, input: [device], output: [device])
    let isUplink = { (chain: String) in ForwardPath.Device(name: device.name, index: device.index).isMeant(by: chain) }
    let chained = facts.overlayRules.objections(to: any, families: ["netdev", "inet"], hooks: [5], device: isUplink)
      + facts.overlayRules.objections(to: any, families: ["netdev"], hooks: [0, 1], device: isUplink)
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
