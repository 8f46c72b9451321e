// SPDX-License-Identifier: Apache-2.0
import FastPath
import Foundation
import LinuxSystem
import TestSupport
import Testing

/// A container that is a router: what a tier delivered leaves again through the container's own stack, where
/// a device without offloads makes it segment and sum in software. Marks of the tunnel that stayed on an skb
/// would show there.
@Suite(.serialized, .enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
struct RoutedOnTests {
  @Test(arguments: Tier.allCases, [TestOverlay.Wire.completeChecksums, .partialChecksums])
  func segmentsAreCutUpBehindTheContainer(tier: Tier, wire: TestOverlay.Wire) throws {
    let overlay = try TestOverlay(vxlan: "udpcsum", wire: wire, ipv6: false)
    let (a1, b1) = (overlay.containers["a1"]!, overlay.containers["b1"]!)
    let behind = TestOverlay.Container(
      node: try TestOverlay.Node(), host: "a", port: "", number: 200, mac: [2, 0, 0x5e, 0, 0xc, 200])
    try a1.node.shell("ip link add down0 mtu 1450 type veth peer name eth0 netns \(behind.node.path)")
    try a1.node.shell("ip link set down0 up")
    try a1.node.shell("ip route add 198.19.0.200/32 dev down0")
    try a1.node.run {
      try "1".write(toFile: "/proc/sys/net/ipv4/ip_forward", atomically: false, encoding: .utf8)
    }
    try behind.node.shell("ip link set lo up")
    try behind.node.shell("ip link set eth0 up")
    try behind.node.shell("ip addr add 198.19.0.200/32 dev eth0")
    try behind.node.shell("ip route add 198.19.0.1/32 dev eth0")
    try behind.node.shell("ip route add default via 198.19.0.1")
    try b1.node.shell("ip route add 198.19.0.200/32 via 198.19.0.1")
    try a1.node.shell("ethtool -K down0 tx off tso off gso off")
    try behind.node.shell("ethtool -K eth0 tx off tso off gso off")
    try overlay.ping("a1", "b1")

    let service = try overlay.start("a") { $0.tier = tier }
    #expect(try Transfer(from: b1, to: behind, bytes: 8 << 20).finish() == .intact)
    #expect(try Transfer(from: behind, to: b1, bytes: 8 << 20).finish() == .intact)
    for node in [behind.node, a1.node, b1.node] { #expect(try node.checksumErrors() == 0) }
    let uplink = try #require(try service.stats().ports.first { $0.name == "eth0" })
    #expect(uplink.forwarded["decapsulated"]?.packets ?? 0 > 100)
    try service.stop()
  }
}
