// SPDX-License-Identifier: Apache-2.0
import Netlink
import PacketHeaders

/// What netfilter's rules could decide about packets that would not pass them any more: a chain counts only where one
/// of its rules may match such packets, and does something other than to accept them.
extension Policy {
  /// NF_INET_*
  private enum Hook {
    static let bridged: Set<UInt32> = [0, 2, 4]
    static let ingress: UInt32 = 5
  }

  /// Nil while nobody is known to send the overlay's packets to.
  private static func outside(
    _ state: OverlayState, _ underlay: UnderlayState, _ facts: PolicyFacts
  ) -> UnderlayTraffic? {
    guard let config = state.vxlan?.vxlan, let uplink = underlay.uplink else { return nil }
    let addresses = facts.uplinkAddresses.union(underlay.routes.values.compactMap(\.preferredSource))
    return UnderlayTraffic(
      config, to: state.vteps.map { ($0.remote, $0.port) }, addresses: Array(addresses), uplink: uplink)
  }

  static func outsideObjections(
    _ state: OverlayState, _ underlay: UnderlayState, _ facts: PolicyFacts
  ) -> [Ruleset.Objection] {
    outside(state, underlay, facts)?.objections(in: facts.underlayRules) ?? []
  }

  /// Frames between the bridge's ports, in chains of its own family and, where the bridge hands them over, in those of
  /// layer 3. ARP is never forwarded outside the kernel.
  static func insideReasons(
    _ bridge: Link, _ attributes: BridgeAttributes, _ state: OverlayState, _ facts: PolicyFacts
  ) -> [Reason] {
    var reasons: [Reason] = []
    let whole = [(name: bridge.name, index: bridge.index)]
    // Of these the program passes what goes to where it comes from.
    let endsDiffer = state.vxlanIndex == nil
    let ports = (state.ports + [state.vxlan].compactMap { $0 }).map { (name: $0.name, index: $0.index) }
    for isIPv4 in [true, false] {
      let frames = PacketShape.bridged(
        isIPv4: isIPv4, input: ports, output: ports, endsDiffer: endsDiffer)
      for chain in facts.overlayRules.objections(to: frames, families: ["bridge"], hooks: Hook.bridged) {
        let reason: Reason = "nftables chain \(chain.place) sees bridged packets: \(chain.description)"
        if !reasons.contains(reason) { reasons.append(reason) }
      }
      let sysctl = isIPv4 ? "bridge-nf-call-iptables" : "bridge-nf-call-ip6tables"
      let attribute = isIPv4 ? "nf_call_iptables" : "nf_call_ip6tables"
      let isOn = isIPv4 ? attributes.nfCallIPTables : attributes.nfCallIP6Tables
      let isOnForAll = facts.bridgeNetfilter.contains(sysctl)
      guard isOn || isOnForAll else { continue }
      let cause =
        isOnForAll ? "net.bridge.\(sysctl) = 1; set it to 0" : "\(bridge.name) \(attribute) 1"
      let packets = PacketShape.bridged(
        isIPv4: isIPv4, input: whole, output: whole, endsDiffer: endsDiffer)
      for chain in facts.overlayRules.objections(
        to: packets, families: [isIPv4 ? "ip" : "ip6", "inet"], hooks: Hook.bridged)
      {
        reasons.append("netfilter sees bridged packets (\(cause)): \(chain.name): \(chain.description)")
      }
    }
    return reasons
  }

  /// Chains at a device's ingress or egress, whichever family they are of.
  mutating func addBoundChains(_ state: OverlayState, _ underlay: UnderlayState, _ facts: PolicyFacts) {
    if let uplink = underlay.uplink, let outside = Self.outside(state, underlay, facts) {
      for chain in Self.bound(to: uplink, facts.underlayRules, outside.arriving, outside.leaving) {
        self.uplink.append("nftables chain \(chain.place) is bound to \(uplink.name): \(chain.description)")
      }
    }
    let devices = [state.vxlan, state.bridge].compactMap { $0 }
    for device in devices + state.ports {
      var chains: [Ruleset.Objection] = []
      for isIPv4 in [true, false] {
        let here = [(name: device.name, index: device.index)]
        let entering = PacketShape.bridged(isIPv4: isIPv4, input: here, output: [])
        let leaving = PacketShape.bridged(isIPv4: isIPv4, input: [], output: here)
        for chain in Self.bound(to: device, facts.overlayRules, entering, leaving)
        where !chains.contains(chain) { chains.append(chain) }
      }
      for chain in chains {
        if devices.contains(device) {
          overlay.append("nftables chain \(chain.place) is bound to \(device.name): \(chain.description)")
        } else {
          ports[device.index, default: []].append(
            "nftables chain \(chain.place) is bound to it: \(chain.description)")
        }
      }
    }
  }

  private static func bound(
    to device: Link, _ rules: Ruleset, _ entering: PacketShape, _ leaving: PacketShape
  ) -> [Ruleset.Objection] {
    func isMeant(_ name: String) -> Bool {
      name.last == "*" ? device.name.hasPrefix(name.dropLast()) : name == device.name
    }
    return rules.objections(to: entering, families: ["netdev"], hooks: [0], device: isMeant)
      + rules.objections(to: entering, families: ["inet"], hooks: [Hook.ingress], device: isMeant)
      + rules.objections(to: leaving, families: ["netdev"], hooks: [1], device: isMeant)
  }
}
