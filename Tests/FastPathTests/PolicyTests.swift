import PacketHeaders
import Testing

@testable import FastPath
// SPDX-License-Identifier: Apache-2.0
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

  @Test func bridgeNetfilterIsNamedWithItsRemedy() {
    let policy = judge { facts, _ in facts.bridgeNetfilter = ["bridge-nf-call-iptables"] }
    #expect(
      policy.overlay.map(\.description) == [
        "netfilter sees bridged packets (net.bridge.bridge-nf-call-iptables = 1; set it to 0)"
      ])
    #expect(policy.bypassed().overlay.isEmpty)
  }

  @Test func aFirewallOnTheUnderlayCountsAgainstTheUplink() {
    let chain = PolicyFacts.PacketChain(place: .underlay, family: "inet", name: "filter input")
    #expect(judge { facts, _ in facts.chains = [chain] }.uplink.count == 1)
    let bridge = PolicyFacts.PacketChain(place: .underlay, family: "bridge", name: "filter forward")
    #expect(judge { facts, _ in facts.chains = [bridge] } == Policy())
  }

  @Test func aNetdevChainCountsAgainstItsDevice() {
    let chain = PolicyFacts.PacketChain(place: .overlay, family: "netdev", name: "t c", devices: ["va1"])
    let policy = judge { facts, _ in facts.chains = [chain] }
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
