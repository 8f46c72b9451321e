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
  /// Queueing disciplines by device, below others too, that do more than queue.
  public var overlayDisciplines: [Int32: [String]] = [:]
  public var underlayDisciplines: [Int32: [String]] = [:]
  /// IPsec policies of the underlay's namespace.
  public var encryption: [IPsecPolicy] = []
  /// Rules of the underlay's namespace that choose a routing table.
  public var rules: [RoutingRule] = []
  /// Ports whose veth peers have a native XDP program, which whoever enters above the driver would pass by.
  public var endPrograms: Set<Int32> = []

  public init() {}

  public struct PacketChain: Sendable, Equatable, Hashable {
    public enum Place: Sendable, Equatable, Hashable { case overlay, underlay }
    public var place: Place
    /// "ip", "ip6", "inet", "bridge", "netdev".
    public var family: String
    public var name: String
    /// NF_INET_* where the family is "ip" or "inet".
    public var hook: UInt32?
    /// The devices that it is bound to; "eth*" is every one that begins so.
    public var devices: [String]
    public init(place: Place, family: String, name: String, hook: UInt32? = nil, devices: [String] = []) {
      self.place = place
      self.family = family
      self.name = name
      self.hook = hook
      self.devices = devices
    }

    /// At a device's ingress or egress, whichever family it is of.
    var isBound: Bool { family == "netdev" || (family == "inet" && hook == 5) }
    /// Of a layer 3 family, where it may set the marks of what the host sends.
    var seesOutput: Bool { ["ip", "inet"].contains(family) && (hook == 3 || hook == nil) }

    func isBound(to device: String) -> Bool {
      isBound
        && devices.contains { $0.last == "*" ? device.hasPrefix($0.dropLast()) : device == $0 }
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
    /// False where the fast path could not serve the port at all, or where packets would leave in the clear.
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
    for chain in facts.chains
    where chain.place == .underlay && ["ip", "inet"].contains(chain.family) && !chain.isBound {
      policy.uplink.append("\(chain.family) chain \(chain.name) sees the overlay's packets")
    }
    policy.uplink += encryption(state, facts) + routing(vxlan, facts)
    for device in [bridge, vxlan] where device.xdpAttached != 0 {
      policy.overlay.append("\(device.name) has an XDP program")
    }
    for chain in facts.chains where chain.isBound {
      let what = "nftables chain \(chain.family) \(chain.name) is bound to"
      switch chain.place {
      case .underlay:
        if let uplink = underlay.uplink, chain.isBound(to: uplink.name) {
          policy.uplink.append("\(what) \(uplink.name)")
        }
      case .overlay:
        for device in [vxlan, bridge] where chain.isBound(to: device.name) {
          policy.overlay.append("\(what) \(device.name)")
        }
        for port in state.ports where chain.isBound(to: port.name) {
          policy.ports[port.index, default: []].append("\(what) it")
        }
      }
    }
    for device in [vxlan, bridge] {
      policy.overlay += trafficControl(device, facts.overlayFilters, facts.overlayDisciplines)
        .map { $0.about(device.name) }
    }
    policy.overlay += portState(vxlan).map { $0.about(vxlan.name) }
    if let uplink = underlay.uplink {
      policy.uplink += trafficControl(uplink, facts.underlayFilters, facts.underlayDisciplines)
        .map { $0.about(uplink.name) }
      if uplink.master != nil {
        policy.uplink.append(
          .state("\(uplink.name) is a port of another device, which takes its packets first"))
      }
    }
    for port in state.ports {
      let reasons = portState(port) + trafficControl(port, facts.overlayFilters, facts.overlayDisciplines)
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
    if attributes.hasBackup { reasons.append("has a backup port") }
    if attributes.vlanTunnel { reasons.append("maps VLANs to tunnels") }
    return reasons
  }

  /// What IPsec decides about the overlay's packets. No option makes them leave in the clear: who set policies
  /// up relies on them. A mark can stand for a policy, or choose a table that leads into a tunnel.
  private static func encryption(_ state: OverlayState, _ facts: PolicyFacts) -> [Reason] {
    var reasons: [Reason] = []
    if let config = state.vxlan?.vxlan {
      let concerned = facts.encryption.filter { policy in
        state.vteps.contains {
          policy.concerns(local: config.local, remote: $0.remote, port: $0.port ?? config.port)
        }
      }
      if !concerned.isEmpty {
        reasons.append(
          .state(
            "IPsec protects the overlay's packets (\(concerned.count) transform policies; `ip xfrm policy`)"))
      }
    }
    if let rule = facts.rules.first(where: \.byMark),
      let chain = facts.chains.first(where: { $0.place == .underlay && $0.seesOutput })
    {
      reasons.append(
        .state(
          "\(chain.family) chain \(chain.name) may set the mark by which rule \(rule.priority) chooses a way (a tunnel's?)"
        ))
    }
    return reasons
  }

  /// Rules that choose anew for each packet, where one way is known for all.
  private static func routing(_ vxlan: Link, _ facts: PolicyFacts) -> [Reason] {
    facts.rules.compactMap { rule in
      if rule.bySourcePort { return .state("rule \(rule.priority) chooses a route by source port") }
      if rule.byTOS, vxlan.vxlan?.tos == 1 {
        return .state(
          "rule \(rule.priority) chooses a route by the TOS, which \(vxlan.name) takes from inside")
      }
      return nil
    }
  }

  /// Queueing disciplines that only queue; any other shapes, drops or classifies.
  static let harmless: Set<String> = [
    "noqueue", "noop", "mq", "pfifo", "bfifo", "pfifo_fast", "fq", "fq_codel", "ingress", "clsact",
  ]

  private static func trafficControl(
    _ link: Link, _ filters: [Int32: [String]], _ disciplines: [Int32: [String]]
  ) -> [Reason] {
    var reasons = filters[link.index] ?? []
    // A dump may be older than what was announced.
    if let qdisc = link.qdisc, !harmless.contains(qdisc) { reasons.append("qdisc \(qdisc)") }
    for discipline in disciplines[link.index] ?? [] where !reasons.contains(discipline) {
      reasons.append(discipline)
    }
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
