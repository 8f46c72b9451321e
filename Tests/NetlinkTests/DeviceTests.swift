// SPDX-License-Identifier: Apache-2.0
import Glibc
import LinuxSystem
import PacketHeaders
import TestSupport
import Testing

@testable import Netlink

@Suite(.enabled(if: mayUseKernel, Comment(rawValue: needsRoot)), .serialized)
struct DeviceTests {
  @Test func featuresAreReadAndSet() throws {
    try NetworkNamespace.makeAnonymous().run {
      try RouteConnection().createVeth(LinkSettings("a"), LinkSettings("b"))
      let ethtool = try Ethtool()
      let before = try ethtool.features(of: "a")
      #expect(before["tx-checksum-ip-generic"] == .init(isOn: true, isFixed: false, isRequested: true))
      #expect(before["rx-gro"] == .init(isOn: false, isFixed: false, isRequested: false))
      #expect(before["rx-vlan-filter"]?.isFixed == true)
      try ethtool.setFeatures(of: "a", ["tx-checksum-ip-generic": false, "rx-gro": true])
      let after = try ethtool.features(of: "a")
      #expect(after["tx-checksum-ip-generic"]?.isOn == false)
      // What depends on it goes with it.
      #expect(after["tx-tcp-segmentation"]?.isOn == false)
      let shown = try sh("ethtool -k a")
      #expect(shown.contains("tx-checksum-ip-generic: off") && shown.contains("generic-receive-offload: on"))
      for (name, feature) in after {
        guard
          let line = shown.split(separator: "\n").first(where: {
            $0.contains("\t\(name):") || $0.hasPrefix("\(name):")
          })
        else { continue }
        #expect(line.contains(": \(feature.isOn ? "on" : "off")"), "\(line)")
      }
      #expect(throws: Failure.self) { try ethtool.setFeatures(of: "a", ["no-such-feature": true]) }
      #expect(throws: Failure.self) { try ethtool.setFeatures(of: "a", ["rx-vlan-filter": true]) }
      #expect(throws: Failure.self) { try ethtool.features(of: "nothing") }
    }
  }

  @Test func driverChannelsAndStatistics() throws {
    try NetworkNamespace.makeAnonymous().run {
      try RouteConnection().createVeth(
        LinkSettings("a", transmitQueues: 2, receiveQueues: 2),
        LinkSettings("b", transmitQueues: 2, receiveQueues: 2))
      let ethtool = try Ethtool()
      #expect(try ethtool.driver(of: "a").name == "veth")
      let channels = try ethtool.channels(of: "a")
      #expect(channels.receive == 2 && channels.transmit == 2)
      let other = try RouteConnection().link(named: "b").index
      #expect(try ethtool.statistics(of: "a")["peer_ifindex"] == UInt64(other))
      #expect(try ethtool.statistics(of: "lo").isEmpty)
    }
  }

  @Test func xdpFeaturesOfAVeth() throws {
    try NetworkNamespace.makeAnonymous().run {
      let route = try RouteConnection()
      try route.createVeth(LinkSettings("a"), LinkSettings("b"))
      let features = try XDPFeatures.of(interface: try route.link(named: "a").index)
      // Nil is right only where the kernel has no such family.
      let release = try FileText.read("/proc/sys/kernel/osrelease").split(separator: ".").prefix(2).compactMap
      { Int($0) }
      if release[0] > 6 || release[0] == 6 && release[1] >= 3 {
        #expect(features?.isSuperset(of: [.basic, .redirect]) == true)
      } else {
        #expect(features == nil)
      }
    }
  }

  @Test func theNamespaceBehindAPeerIsFound() throws {
    let here = try NetworkNamespace.makeAnonymous()
    let there = try NetworkNamespace.makeAnonymous()
    let identity = there.identity
    let descriptor = there.descriptor.raw
    try here.run {
      let route = try RouteConnection()
      try route.createVeth(LinkSettings("a"), LinkSettings("b", namespace: descriptor))
      let id = try #require(try route.link(named: "a").peerNamespaceID)
      #expect(try NamespaceSearch.find(id, for: route)?.identity == identity)
      #expect(try NamespaceSearch.find(id + 100, for: route)?.identity == nil)
    }
  }

  @Test func mountPointsAreFound() {
    let mountinfo = """
      25 30 0:23 / /sys rw,nosuid shared:7 - sysfs sysfs rw
      90 26 0:4 net:[4026532177] /run/netns/a\\040b rw shared:50 - nsfs nsfs rw
      91 26 0:4 mnt:[4026532178] /run/mnt rw - nsfs nsfs rw
      """
    #expect(NamespaceSearch.mountPoints(in: mountinfo) == ["/run/netns/a b"])
  }
}
