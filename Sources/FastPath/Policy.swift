// SPDX-License-Identifier: Apache-2.0
import Netlink
import PacketHeaders

/// What could make the kernel decide otherwise than the fast path, as found on
/// the system. Gathered by `PolicyFacts.gather`, judged by `Policy`.
public struct PolicyFacts: Sendable, Equatable {
  /// net.bridge.bridge-nf-call-{ip,ip6}tables of the overlay's namespace that are 1.
  public var bridgeNetfilter: [String] = []
  /// netfilter's rules in each namespace.
  public var overlayRules = Ruleset()
  public var underlayRules = Ruleset()
  /// The uplink's, of the underlay's IP.
  public var uplinkAddresses: Set<IPAddress> = []
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
}

/// All that `Policy.judge` looks at: the same again gets the same verdict, and is cheaper to compare.
struct PolicyInputs: Equatable {
  private let links: [Int32: Link]
  private let vteps: Set<OverlayState.RemoteVTEP>
  private let uplink: Link?
  private let sources: Set<IPAddress>
  private let facts: PolicyFacts

  init(_ overlay: OverlayState, _ underlay: UnderlayState, _ facts: PolicyFacts) {
    (links, vteps, uplink) = (overlay.links, overlay.vteps, underlay.uplink)
    sources = Set(underlay.routes.values.compactMap(\.preferredSource))
    self.facts = facts
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
    guard let bridge = state.bridge, let attributes = bridge.bridge,
      state.vxlan != nil || state.vxlanIndex == nil
    else {
      policy.overlay.append(.state("the bridge or the VXLAN device is gone"))
      return policy
    }
    let devices = [bridge, state.vxlan].compactMap { $0 }
    if attributes.vlanFiltering {
      policy.overlay.append(.state("\(bridge.name) filters VLANs (vlan_filtering 1)"))
    }
    if attributes.ageingSeconds == 0 {
      policy.overlay.append(.state("\(bridge.name) forgets at once (ageing_time 0)"))
    }
    let outside = outsideObjections(state, underlay, facts)
    policy.uplink += encryption(state, facts, marking: outside.first { $0.hook == nil || $0.hook == 3 })
    if let vxlan = state.vxlan { policy.uplink += routing(vxlan, facts) }
    for device in devices where device.xdpAttached != 0 {
      policy.overlay.append("\(device.name) has an XDP program")
    }
    policy.uplink += outside.map { "\($0.name) sees the overlay's packets: \($0.description)" }
    policy.overlay += insideReasons(bridge, attributes, state, facts)
    policy.addBoundChains(state, underlay, facts)
    for device in devices.reversed() {
      policy.overlay += trafficControl(device, facts.overlayFilters, facts.overlayDisciplines)
        .map { $0.about(device.name) }
    }
    if let vxlan = state.vxlan { policy.overlay += portState(vxlan).map { $0.about(vxlan.name) } }
    if let uplink = underlay.uplink {
      policy.uplink += trafficControl(uplink, facts.underlayFilters, facts.underlayDisciplines)
        .map { $0.about(uplink.name) }
      if uplink.master != nil {
        policy.uplink.append(
          .state("\(uplink.name) is a port of another device, which takes its packets first"))
      }
    }
    for port in state.ports {
      var reasons = portState(port) + trafficControl(port, facts.overlayFilters, facts.overlayDisciplines)
      if port.kind == "vxlan", state.vxlanIndex == nil {
        reasons.append(
          .state("is a VXLAN device that joined \(bridge.name) later; `culvert down` and `up` serve the overlay"))
      }
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
  /// - Parameter marking: a chain that does something to what the host sends.
  private static func encryption(
    _ state: OverlayState, _ facts: PolicyFacts, marking: Ruleset.Objection?
  ) -> [Reason] {
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
            "IPsec protects the overlay's packets (\(concerned.count) transform policies; `ip xfrm policy`, and its `getdefault`)"))
      }
    }
    if let rule = facts.rules.first(where: \.byMark), let chain = marking {
      reasons.append(
        .state(
          "\(chain.name) may set the mark by which rule \(rule.priority) chooses a way (a tunnel's?)"
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
