// SPDX-License-Identifier: Apache-2.0
import Netlink

/// What could make the kernel decide otherwise than the fast path, as found on
/// the system. Gathered by `PolicyFacts.gather`, judged by `Policy`.
public struct PolicyFacts: Sendable, Equatable {
  /// net.bridge.bridge-nf-call-{ip,ip6,arp}tables of the overlay's namespace that are 1.
  public var bridgeNetfilter: [String] = []
  /// Base chains of nftables that see packets, and iptables' own tables.
  public var chains: [PacketChain] = []
  /// tc filters and programs, by device of the overlay's namespace.
  public var overlayFilters: [Int32: [String]] = [:]
  /// The same for the underlay's namespace.
  public var underlayFilters: [Int32: [String]] = [:]
  /// IPsec policies of the underlay's namespace, which could encrypt the overlay's packets.
  public var transformPolicies = 0

  public init() {}

  public struct PacketChain: Sendable, Equatable, Hashable {
    public enum Place: Sendable, Equatable, Hashable { case overlay, underlay }
    public var place: Place
    /// "ip", "ip6", "inet", "bridge", "netdev".
    public var family: String
    public var name: String
    /// netdev chains: the devices they are bound to.
    public var devices: [String]
    public init(place: Place, family: String, name: String, devices: [String] = []) {
      self.place = place
      self.family = family
      self.name = name
      self.devices = devices
    }
  }
}

/// Judges which ports the fast path may serve. Every reason names the thing and
/// what to change; a port with a reason stays with the kernel.
public struct Policy: Sendable, Equatable {
  /// Against the overlay as a whole.
  public var overlay: [Reason] = []
  public var uplink: [Reason] = []
  public var ports: [Int32: [Reason]] = [:]

  public struct Reason: Sendable, Equatable, ExpressibleByStringInterpolation, CustomStringConvertible {
    public var description: String
    /// False where the fast path could not serve the port at all.
    public var canBeBypassed = true
    public init(stringLiteral value: String) { description = value }

    func about(_ name: String) -> Reason {
      var copy = self
      copy.description = "\(name) \(description)"
      return copy
    }
    static func state(_ text: String) -> Reason {
      var reason = Reason(stringLiteral: text)
      reason.canBeBypassed = false
      return reason
    }
  }

  public static func judge(overlay state: OverlayState, underlay: UnderlayState, facts: PolicyFacts) -> Policy
  {
    var policy = Policy()
    guard let bridge = state.bridge, let attributes = bridge.bridge, let vxlan = state.vxlan else {
      policy.overlay.append(.state("the bridge or the VXLAN device is gone"))
      return policy
    }
    if attributes.vlanFiltering {
      policy.overlay.append(.state("\(bridge.name) filters VLANs (vlan_filtering 1)"))
    }
    if attributes.ageingSeconds == 0 {
      policy.overlay.append(.state("\(bridge.name) forgets at once (ageing_time 0)"))
    }
    for sysctl in facts.bridgeNetfilter {
      policy.overlay.append("netfilter sees bridged packets (net.bridge.\(sysctl) = 1; set it to 0)")
    }
    let calls = [
      ("nf_call_iptables", attributes.nfCallIPTables), ("nf_call_ip6tables", attributes.nfCallIP6Tables),
      ("nf_call_arptables", attributes.nfCallARPTables),
    ]
    for (name, isOn) in calls where isOn {
      policy.overlay.append("netfilter sees bridged packets (\(bridge.name) \(name) 1)")
    }
    for chain in facts.chains where chain.place == .overlay && chain.family == "bridge" {
      policy.overlay.append("nftables chain bridge \(chain.name) sees bridged packets")
    }
    let uplinkName = underlay.uplink?.name ?? "the uplink"
    for chain in facts.chains where chain.place == .underlay && ["ip", "inet"].contains(chain.family) {
      policy.uplink.append("\(chain.family) chain \(chain.name) sees the overlay's packets")
    }
    if facts.transformPolicies > 0 {
      policy.uplink.append(
        "IPsec could want the overlay's packets (\(facts.transformPolicies) transform policies)")
    }
    for device in [bridge, vxlan] where device.xdpAttached != 0 {
      policy.overlay.append("\(device.name) has an XDP program")
    }
    for chain in facts.chains where chain.family == "netdev" {
      if chain.place == .underlay, chain.devices.contains(uplinkName) {
        policy.uplink.append("nftables chain netdev \(chain.name) is bound to \(uplinkName)")
      }
      for device in chain.devices where chain.place == .overlay {
        if device == vxlan.name || device == bridge.name {
          policy.overlay.append("nftables chain netdev \(chain.name) is bound to \(device)")
        }
        for port in state.ports where port.name == device {
          policy.ports[port.index, default: []].append("nftables chain netdev \(chain.name) is bound to it")
        }
      }
    }
    policy.overlay += trafficControl(vxlan, facts.overlayFilters).map { $0.about(vxlan.name) }
    policy.overlay += trafficControl(bridge, facts.overlayFilters).map { $0.about(bridge.name) }
    policy.overlay += portState(vxlan).map { $0.about(vxlan.name) }
    if let uplink = underlay.uplink {
      policy.uplink += trafficControl(uplink, facts.underlayFilters).map { $0.about(uplink.name) }
    }
    for port in state.ports {
      let reasons =
        portState(port) + trafficControl(port, facts.overlayFilters)
      if !reasons.isEmpty { policy.ports[port.index, default: []] += reasons }
    }
    return policy
  }

  private static func portState(_ port: Link) -> [Reason] {
    guard let attributes = port.bridgePort else { return [] }
    var reasons: [Reason] = []
    // BR_STATE_FORWARDING; without STP a port that is down says BR_STATE_DISABLED.
    if attributes.state != 3 { reasons.append(.state("is not forwarding (STP state \(attributes.state))")) }
    if attributes.isolated { reasons.append("is isolated") }
    if attributes.locked { reasons.append("is locked") }
    if attributes.vlanTunnel { reasons.append("maps VLANs to tunnels") }
    return reasons
  }

  /// Queueing disciplines that only queue; any other shapes, drops or classifies.
  private static let harmless: Set<String> = [
    "noqueue", "noop", "mq", "pfifo", "bfifo", "pfifo_fast", "fq", "fq_codel",
  ]

  private static func trafficControl(_ link: Link, _ filters: [Int32: [String]]) -> [Reason] {
    var reasons = filters[link.index] ?? []
    if let qdisc = link.qdisc, !harmless.contains(qdisc) { reasons.append("qdisc \(qdisc)") }
    return reasons.map { "has \($0)" }
  }
}

extension Policy {
  /// Without the reasons that an operator may override by `--bypass-policy`.
  func bypassed() -> Policy {
    var copy = self
    copy.overlay = overlay.filter { !$0.canBeBypassed }
    copy.uplink = uplink.filter { !$0.canBeBypassed }
    copy.ports = ports.mapValues { $0.filter { !$0.canBeBypassed } }.filter { !$0.value.isEmpty }
    return copy
  }
}
