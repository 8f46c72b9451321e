// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import Netlink
import PacketHeaders

/// What could make the kernel decide otherwise about a routed overlay's packets.
extension RoutedSession {
  func gather(
    _ containers: [(link: Link, bridge: Link?)], _ addresses: [InnerIP: [InterfaceAddress]]
  ) throws -> RoutedFacts {
    var facts = PolicyFacts()
    facts.overlayRules = try rules.rules()
    let own = programIDs.union(RuntimeDirectory.livingPrograms().keys)
    let disciplines = try connection.value.queueingDisciplines()
    let devices = Set(containers.flatMap { [$0.link, $0.bridge].compactMap { $0?.index } } + [vxlan.index, uplink.index])
    facts.overlayFilters = try PolicyFacts.filters(connection, behind: disciplines, on: devices, own)
    facts.overlayDisciplines = PolicyFacts.named(disciplines)
    let rules = try Dictionary(
      uniqueKeysWithValues: InnerIP.allCases.map { ($0, try connection.value.rules(ofIPv6: $0.isIPv6)) })
    facts.rules = rules[outerIP]!
    facts.encryption = try IPsec.policies()
    facts.uplinkAddresses = Set(addresses[outerIP]!.filter { $0.link == uplink.index }.map(\.address))
    facts.endPrograms = PolicyFacts.endPrograms(containers.map(\.link), connection)
    return RoutedFacts(policy: facts, rules: rules)
  }

  /// Why the overlay is the kernel's, or packets of one IP inside it.
  func judge(
    _ paths: [(ip: InnerIP, path: ForwardPath)], to vteps: [(remote: IPAddress, port: UInt16?)], _ facts: RoutedFacts
  ) {
    reasons = objections(to: vteps, facts.policy)
    left = [:]
    for (ip, path) in paths where present.contains(ip) { left[ip] = objections(inside: ip, path, facts) }
    // Where both are, it is the overlay that is.
    guard reasons.isEmpty, left.values.allSatisfy({ !$0.isEmpty }) else { return }
    for ip in InnerIP.allCases { for reason in left[ip] ?? [] where !reasons.contains(reason) { reasons.append(reason) } }
  }

  /// Why packets of one IP inside are the kernel's although the overlay is served; nil where none are.
  var leftInside: [String: String]? {
    let some = left.filter { !$0.value.isEmpty }
    guard reasons.isEmpty, !some.isEmpty else { return nil }
    return Dictionary(uniqueKeysWithValues: some.map { ($0.key.name, $0.value.joined(separator: "; ")) })
  }

  /// Against the overlay as a whole, each reason with what to change; none that an option may override is left where
  /// the option was given.
  private func objections(to vteps: [(remote: IPAddress, port: UInt16?)], _ facts: PolicyFacts) -> [String] {
    var state: [String] = []
    if vxlan.master != nil { state.append("\(vxlan.name) has become a port of a bridge; run `culvert up` again") }
    if !vxlan.isUp { state.append("\(vxlan.name) is down") }
    if uplink.master != nil { state.append("\(uplink.name) is a port of another device, which takes its packets first") }
    state += Self.objections(to: facts.rules)
    var policy: [String] = []
    let sources = facts.uplinkAddresses.union(underlay.routes.values.compactMap(\.preferredSource))
    let outside = vxlan.vxlan.flatMap {
      UnderlayTraffic($0, to: vteps, addresses: Array(sources), uplink: uplink)
    }
    for chain in outside?.objections(in: facts.overlayRules) ?? [] {
      policy.append("netfilter sees the overlay's packets: \(chain.name): \(chain.description)")
    }
    let device = (name: uplink.name, index: uplink.index)
    let any = PacketShape.bridged(isIPv4: outerIP == .v4, input: [device], output: [device])
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
    if port.xdpAttached != 0, port.xdpProgramID.map({ !programIDs.contains($0) }) ?? true {
      policy.append("has an XDP program")
    }
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
