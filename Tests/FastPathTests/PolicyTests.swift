// SPDX-License-Identifier: Apache-2.0
import PacketHeaders
import Testing

@testable import FastPath
@testable import Netlink

@Suite struct PolicyTests {
  let world = World()

  func judge(_ change: (inout PolicyFacts, inout OverlayState) -> Void = { _, _ in }) -> Policy {
    var facts = PolicyFacts()
    var overlay = world.overlay
    change(&facts, &overlay)
    return Policy.judge(overlay: overlay, underlay: world.underlay, facts: facts)
  }

  @Test func aPlainOverlayIsServed() { #expect(judge() == Policy()) }

  /// A rule that drops all that gets to its chain.
  private func rules(_ family: String, hook: UInt32, devices: [String] = []) -> Ruleset {
    var chain = Ruleset.Chain(name: "c", hook: hook, devices: devices)
    chain.rules = [FilterRule(handle: 4, expressions: [.verdict(.drop)])]
    var rules = Ruleset()
    rules.tables[Ruleset.Table(family: family, name: "t")] = .init(chains: ["c": chain])
    return rules
  }

  @Test func bridgeNetfilterWithoutARuleIsNoReason() {
    #expect(judge { facts, _ in facts.bridgeNetfilter = ["bridge-nf-call-iptables"] } == Policy())
  }

  @Test func bridgeNetfilterIsNamedWithTheRuleAndItsRemedy() {
    let forwarded = rules("ip", hook: 2)
    #expect(judge { facts, _ in facts.overlayRules = forwarded } == Policy(), "not handed to it")
    let policy = judge { facts, _ in
      facts.bridgeNetfilter = ["bridge-nf-call-iptables"]
      facts.overlayRules = forwarded
    }
    #expect(
      policy.overlay.map(\.description) == [
        "netfilter sees bridged packets (net.bridge.bridge-nf-call-iptables = 1; set it to 0): ip chain t c: "
          + "its rule 4 drops (`nft delete rule ip t c handle 4`)"
      ])
    #expect(policy.bypassed().overlay.isEmpty)
    let ofTheBridge = judge { facts, overlay in
      facts.overlayRules = rules("inet", hook: 2)
      var bridge = Link.br0
      bridge.bridge!.nfCallIP6Tables = true
      _ = overlay.apply(.link(bridge))
    }
    #expect(ofTheBridge.overlay.first?.description.contains("br0 nf_call_ip6tables 1") == true)
  }

  @Test func chainsOfTheBridgesOwnFamilyCountAlways() {
    #expect(judge { facts, _ in facts.overlayRules = rules("bridge", hook: 2) }.overlay.count == 1)
    #expect(judge { facts, _ in facts.overlayRules = rules("bridge", hook: 1) } == Policy(), "the host's own")
  }

  @Test func aFirewallOnTheUnderlayCountsAgainstTheUplink() {
    func judged(_ rules: Ruleset, remote: Bool = true) -> Policy {
      judge { facts, overlay in
        facts.underlayRules = rules
        if remote { _ = overlay.apply(.fdb(.tunnelled(world.far, world.vtep))) }
      }
    }
    for hook in [0, 1, 3, 4] as [UInt32] {
      #expect(
        judged(rules("inet", hook: hook)).uplink.map(\.description) == [
          "inet chain t c sees the overlay's packets: its rule 4 drops (`nft delete rule inet t c handle 4`)"
        ])
    }
    #expect(judged(rules("inet", hook: 1), remote: false) == Policy(), "nobody to send to")
    #expect(judged(rules("ip", hook: 2)) == Policy(), "forwarded packets are none of it")
    #expect(judged(rules("bridge", hook: 2)) == Policy())
    #expect(judged(rules("netdev", hook: 0, devices: ["eth0"])).uplink.count == 1)
    #expect(judged(rules("netdev", hook: 0, devices: ["eth1"])) == Policy())
  }

  @Test func aNetdevChainCountsAgainstItsDevice() {
    let policy = judge { facts, _ in facts.overlayRules = rules("netdev", hook: 0, devices: ["va1"]) }
    #expect(policy.ports[3]?.count == 1 && policy.overlay.isEmpty && policy.uplink.isEmpty)
  }

  @Test func tcFiltersAndShapersCountAgainstTheirDevice() {
    #expect(
      judge { facts, _ in facts.overlayFilters = [3: ["a tc ingress filter (bpf)"]] }.ports[3]?.count == 1)
    #expect(judge { facts, _ in facts.overlayFilters = [2: ["a tc egress filter (bpf)"]] }.overlay.count == 1)
    #expect(judge { facts, _ in facts.underlayFilters = [9: ["a tc egress filter (bpf)"]] }.uplink.count == 1)
    let policy = judge { _, overlay in
      var port = Link.va1
      port.qdisc = "netem"
      _ = overlay.apply(.link(port))
    }
    #expect(policy.ports[3]?.map(\.description) == ["has qdisc netem"])
  }

  @Test func ipsecCountsAgainstTheUplinkAndXDPOnTheDevicesAgainstTheOverlay() {
    #expect(
      judge { facts, overlay in
        _ = overlay.apply(.fdb(.tunnelled(world.far, world.vtep)))
        facts.encryption = [IPsecPolicy(.outgoing)]
      }.uplink.count == 1)
    let policy = judge { _, overlay in
      var vxlan = Link.vx0
      vxlan.xdpAttached = 2
      _ = overlay.apply(.link(vxlan))
    }
    #expect(policy.overlay.map(\.description) == ["vx0 has an XDP program"])
  }

  @Test(arguments: [0, 1, 2, 4] as [UInt8]) func onlyAForwardingPortIsServed(state: UInt8) {
    let policy = judge { _, overlay in
      var attributes = BridgePortAttributes.forwarding
      attributes.state = state
      _ = overlay.apply(.bridgePort(link: 3, master: 1, attributes))
    }
    #expect(policy.ports[3]?.count == 1)
    #expect(policy.bypassed().ports[3]?.count == 1, "no flag makes a blocked port forward")
  }

  @Test func isolationAndLocksAreOverridable() {
    let policy = judge { _, overlay in
      var attributes = BridgePortAttributes.forwarding
      attributes.isolated = true
      attributes.locked = true
      _ = overlay.apply(.bridgePort(link: 3, master: 1, attributes))
    }
    #expect(policy.ports[3]?.map(\.description) == ["is isolated", "is locked"])
    #expect(policy.bypassed().ports.isEmpty)
  }

  @Test func vlanFilteringIsNotServedWhateverIsBypassed() {
    let policy = judge { _, overlay in
      var bridge = Link.br0
      bridge.bridge!.vlanFiltering = true
      _ = overlay.apply(.link(bridge))
    }
    #expect(policy.overlay.count == 1 && policy.bypassed().overlay.count == 1)
  }
}
