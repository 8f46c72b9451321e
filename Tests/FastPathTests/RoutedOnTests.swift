// SPDX-License-Identifier: Apache-2.0
import FastPath
import LinuxSystem
import TestSupport
import Testing

/// A container that is a router: what a tier delivered leaves again through the container's own stack, where
/// a device without offloads makes it segment and sum in software. Marks of the tunnel that stayed on an skb
/// would show there.
@Suite(.serialized, .enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
struct RoutedOnTests {
  /// The uplink's merging beside its usual one, which makes other kinds of segments.
  @Test(
    arguments: Tier.allCases,
    [(.completeChecksums, ""), (.partialChecksums, ""), (.completeChecksums, "rx-gro-list on")]
      as [(checksums: TestOverlay.Wire, features: String)])
  func segmentsAreCutUpBehindTheContainer(tier: Tier, wire: (checksums: TestOverlay.Wire, features: String)) throws {
    let overlay = try TestOverlay(vxlan: "udpcsum", wire: wire.checksums)
    if !wire.features.isEmpty { try overlay.hosts["a"]!.shell("ethtool -K eth0 \(wire.features)") }
    let (a1, b1) = (overlay.containers["a1"]!, overlay.containers["b1"]!)
    let behind = try overlay.addMachine(behind: "a1")
    try a1.node.shell("ethtool -K down0 tx off tso off gso off")
    try behind.node.shell("ethtool -K eth0 tx off tso off gso off")

    let service = try overlay.start("a") { $0.tier = tier }
    for ipv6 in [false, true] {
      #expect(try Transfer(from: b1, to: behind, bytes: 8 << 20, ipv6: ipv6).finish() == .intact)
      #expect(try Transfer(from: behind, to: b1, bytes: 8 << 20, ipv6: ipv6).finish() == .intact)
    }
    for node in [behind.node, a1.node, b1.node] { #expect(try node.checksumErrors() == 0) }
    let uplink = try #require(try service.stats().ports.first { $0.name == "eth0" })
    // Lists of packets are the kernel's to forward.
    if wire.features.isEmpty { #expect(uplink.forwarded["decapsulated"]?.packets ?? 0 > 200) }
    try service.stop()
  }
}
