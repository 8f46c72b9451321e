// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import Netlink
import TestSupport
import Testing

@testable import Lab

@Suite(.enabled(if: mayUseKernel, Comment(rawValue: needsRoot)), .serialized)
struct TopologyTests {
  static let specs = [
    LabSpec(.bare), LabSpec(.vxlan), LabSpec(.vxlan, containers: 3), LabSpec(.vxlan, asShipped: true),
    LabSpec(.vxlan, hostAddress: true),
    LabSpec(.vxlan, mtu: 9000, offloads: false, udpChecksum: true), LabSpec(.vxlan, queues: 4),
    LabSpec(.host), LabSpec(.host, containers: 2), LabSpec(.container), LabSpec(.bridge),
    LabSpec(.flannel), LabSpec(.flannel, containers: 3, mtu: 9000, offloads: false),
    LabSpec(.flannel, hostAddress: true),
    LabSpec(.calico), LabSpec(.calico, containers: 3, queues: 2),
    LabSpec(.bridge, containers: 3, mtu: 9000), LabSpec(.bridge, offloads: false, queues: 2), LabSpec(.none),
  ]

  @Test(arguments: specs)
  func everyoneReachesEveryone(_ spec: LabSpec) throws {
    let lab = try Lab.make(spec)
    let ends = spec.network == .bare ? lab.nodes : lab.nodes.filter { !$0.isHost }
    #expect(ends.count == max(2, 2 * spec.containers))
    for from in ends {
      for to in ends where to !== from && (from.host == to.host || !Self.isOfOneHost(spec)) {
        try from.run {
          _ = try sh("ping -c1 -W2 -n -q \(to.address)")
          _ = try sh("ping -c1 -W2 -n -q \(text(try #require(to.address6)))")
        }
      }
    }
  }

  private static func isOfOneHost(_ spec: LabSpec) -> Bool {
    spec.network.isOfOneHost || spec.network == .none
  }

  /// Where a network has no way, none was left by mistake.
  @Test(arguments: [LabSpec(.bridge), LabSpec(.container), LabSpec(.none, containers: 2)])
  func containersOfOtherHostsAreOutOfReach(_ spec: LabSpec) throws {
    let lab = try Lab.make(spec)
    let (from, to) = (try lab.node("a1"), try lab.node(spec.network == .none ? "a2" : "b1"))
    #expect(throws: ShellFailure.self) {
      try from.run { try sh("ping -c1 -W0.3 -n -q \(to.identity.address)") }
    }
  }

  @Test func namespacesAreSharedAsAsked() throws {
    func identity(_ lab: Lab, _ name: String) throws -> NetworkNamespace.Identity {
      try lab.node(name).namespace.identity
    }
    let host = try Lab.make(LabSpec(.host))
    #expect(try identity(host, "a1") == identity(host, "hostA"))
    #expect(try identity(host, "a1") != identity(host, "b1"))
    let pod = try Lab.make(LabSpec(.container))
    #expect(try identity(pod, "a1") == identity(pod, "a2"))
    #expect(try identity(pod, "a1") != identity(pod, "hostA"))
    #expect(pod.pair.server.name == "a2")
    let bridge = try Lab.make(LabSpec(.bridge))
    #expect(Set(try ["hostA", "hostB", "a1", "a2", "b1", "b2"].map { try identity(bridge, $0) }).count == 6)
  }

  @Test func interfacesHaveTheQueuesAskedFor() throws {
    let lab = try Lab.make(LabSpec(.vxlan, queues: 3))
    for (name, links) in [("hostA", ["eth0", "va1"]), ("b1", ["eth0"])] {
      try lab.node(name).run {
        for link in try RouteConnection().links() where links.contains(link.name) {
          #expect(link.transmitQueues == 3 && link.receiveQueues == 3, "\(link.name) of \(name)")
        }
      }
    }
  }

  @Test(arguments: specs)
  func theMTUIsAsPromisedAndNoMore(_ spec: LabSpec) throws {
    let lab = try Lab.make(spec)
    let (client, server) = lab.pair
    #expect(
      client.mtu
        == (client.interface == "lo" ? 65_536 : spec.network.isOverlay ? spec.mtu - 50 : spec.mtu))
    // What ping can send ends before what loopback takes.
    guard client.interface != "lo" else { return }
    try client.run {
      // IPv4 and ICMP headers are 28 bytes.
      _ = try sh("ping -M do -c1 -W2 -n -q -s \(client.mtu - 28) \(server.address)")
      #expect(throws: ShellFailure.self) {
        try sh("ping -M do -c1 -W0.3 -n -q -s \(client.mtu - 27) \(server.address) 2>/dev/null")
      }
    }
  }

  @Test func offloadsAreAsAsked() throws {
    for offloads in [true, false] {
      let lab = try Lab.make(LabSpec(.vxlan, offloads: offloads))
      for name in ["hostA", "hostB", "a1", "b1"] {
        let node = try lab.node(name)
        let shown = try node.run { try sh("ethtool -k eth0") }
        let lines = Set(shown.split(separator: "\n").map { $0.trimmingPrefix { $0 == "\t" } })
        for feature in ["tx-checksumming", "tcp-segmentation-offload", "generic-segmentation-offload"] {
          let found = lines.contains { $0.hasPrefix("\(feature): \(offloads ? "on" : "off")") }
          #expect(found, "\(feature) of \(name)")
        }
        let gro = "generic-receive-offload: \(node.isHost ? "on" : "off")"
        #expect(lines.contains { $0.hasPrefix(gro) }, "\(name)")
      }
    }
  }

  @Test func devicesAreAsPromised() throws {
    for spec in [LabSpec(.vxlan), LabSpec(.vxlan, asShipped: true)] {
      let lab = try Lab.make(spec)
      try lab.host(.a).run {
        let route = try RouteConnection()
        let vxlan = try route.link(named: LabNames.vxlan)
        #expect(vxlan.vxlan?.vni == 42 && vxlan.vxlan?.port == 4789 && vxlan.vxlan?.learning == true)
        #expect(vxlan.vxlan?.udpChecksum == spec.udpChecksum)
        #expect(vxlan.vxlan?.extensions == [])
        let bridge = try route.link(named: LabNames.bridge).index
        #expect(vxlan.master == bridge)
        #expect(try route.link(named: LabNames.uplink).mtu == spec.mtu)
        let port = try route.link(named: "va1")
        #expect(port.master == bridge && port.bridgePort?.state == 3)
        #expect(port.mtu == 1450 && vxlan.mtu == 1450)
        let flood = try route.fdb(of: vxlan.index).filter { $0.mac.isZero && $0.isOfDevice }
        #expect(flood.map(\.destination) == [.v4(lab.host(.b).address)])
        let netfilter = try FileText.read("/proc/sys/net/bridge/bridge-nf-call-iptables")
        #expect(netfilter == (spec.bridgeNetfilter ? "1\n" : "0\n"))
      }
    }
  }

  /// Tests account to the packet: nobody but they may send any.
  @Test func nothingIsSentUnasked() throws {
    let lab = try Lab.make(LabSpec(.vxlan, containers: 2))
    #expect(try whatIsSentUnasked(in: lab) == nil)
  }

  @Test func refusesWhatItCannotBuild() {
    for spec in [
      LabSpec(.vxlan, mtu: 1300), LabSpec(.vxlan, containers: 0), LabSpec(.vxlan, containers: 251),
      LabSpec(.bridge, containers: 0), LabSpec(.vxlan, queues: 0), LabSpec(.vxlan, queues: 65),
    ] {
      #expect(throws: Failure.self) { try Lab.make(spec) }
    }
    #expect(throws: Failure.self) { try NetworkChoice(parsing: "token-ring") }
    #expect(throws: Failure.self) { try NetworkChoice(parsing: "vxlan+") }
  }

  @Test func aRecordHoldsTheWholeSpec() {
    for spec in Self.specs { #expect(LabSpec(text: spec.text) == spec) }
    #expect(LabSpec(text: "network bridge\n") == nil)
  }

  @Test func networkAndTierAreToldApart() throws {
    let choice = try NetworkChoice(parsing: "vxlan+xdp")
    #expect(choice.network == .vxlan && choice.tier == "xdp")
    #expect(try NetworkChoice(parsing: "bare").tier == nil)
  }
}
