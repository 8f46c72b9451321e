// SPDX-License-Identifier: Apache-2.0
import FastPath
import LinuxSystem
import TestSupport
import Testing

/// What is not carried does not suffer. Told without a clock: where nothing is carried nothing is changed, and
/// what a container sends elsewhere leaves it in segments as large as before.
@Suite(.serialized, .enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
struct C16DoNoHarmTests {

  /// Mean bytes of what a1's port receives from it during a transfer.
  private func meanBytes(_ overlay: TestOverlay, to node: TestNode, _ address: String) throws -> Double {
    let host = overlay.hosts["a"]!
    func counts() throws -> (Double, Double) {
      (Double(try host.counter("rx_bytes", of: "va1")), Double(try host.counter("rx_packets", of: "va1")))
    }
    let before = try counts()
    let transfer = try Transfer(
      from: overlay.containers["a1"]!.node, to: node, address: address, bytes: 32 << 20)
    #expect(transfer.finish() == .intact)
    let after = try counts()
    return (after.0 - before.0) / (after.1 - before.1)
  }

  private func isUntouched(_ overlay: TestOverlay, _ before: [String: String]) throws -> Bool {
    let now = try overlay.containers["a1"]!.node.features(of: "eth0")
    return try now == before && !overlay.hosts["a"]!.shell("ip link").contains("xdp")
  }

  /// Bridge netfilter is on, and a rule behind it: nothing is carried, so nothing is changed.
  @Test(arguments: Tier.allCases) func withNetfilterOnNothingIsTouched(tier: Tier) throws {
    let overlay = try TestOverlay(vxlan: "udpcsum", wire: .partialChecksums, ipv6: false)
    try overlay.filterBridged(true, on: "a")
    let before = try overlay.containers["a1"]!.node.features(of: "eth0")
    let service = try overlay.start("a") { $0.tier = tier }
    let untouched = try eventually(2) { try isUntouched(overlay, before) }
    #expect(untouched)
    // Taken when the reason is gone, given back when it returns.
    try overlay.filterBridged(false, on: "a")
    let isServed = try eventually {
      try service.status().ports.contains { $0.role == "container" && $0.tier != nil }
    }
    #expect(isServed)
    try overlay.filterBridged(true, on: "a")
    let isGivenBack = try eventually(3) { try isUntouched(overlay, before) }
    #expect(isGivenBack)
    try service.stop()
    #expect(try isUntouched(overlay, before))
  }

  /// A container that speaks to its own host, by which nothing of it is the overlay's.
  @Test(arguments: Tier.allCases) func segmentsToTheHostStayLarge(tier: Tier) throws {
    let overlay = try TestOverlay(ipv6: false)
    try overlay.ping("a1", "b1")
    let host = overlay.hosts["a"]!
    try host.shell("ip addr add 198.19.0.250/16 dev br0")
    let kernel = try meanBytes(overlay, to: host, "198.19.0.250")
    #expect(kernel > 5000)
    let service = try overlay.start("a") { $0.tier = tier }
    let isLarge = try eventually(6) { try meanBytes(overlay, to: host, "198.19.0.250") > kernel / 2 }
    #expect(isLarge)
    try service.stop()
  }

  /// A tier that gets a container's TCP in single frames leaves bulk to the kernel's segments, and says so; not where the
  /// container sends single frames of its own accord.
  @Test(arguments: [Tier.xdp, .afxdp]) func bulkTCPStaysInSegments(tier: Tier) throws {
    let overlay = try TestOverlay(ipv6: false)
    try overlay.ping("a1", "b1")
    let (a1, b1) = (overlay.containers["a1"]!, overlay.containers["b1"]!)
    func transfer(_ service: FastPathService) throws -> String? {
      #expect(try Transfer(from: a1, to: b1, bytes: 256 << 20).finish() == .intact)
      return try service.status().ports.first { $0.name == "va1" }?.reason
    }
    let kernel = try meanBytes(overlay, to: b1.node, b1.ipv4)
    let service = try overlay.start("a") {
      $0.tier = tier
      $0.carriesBulk = false
    }
    let isGivenBack = try eventually(30) { try transfer(service)?.contains("TCP in bulk") == true }
    #expect(isGivenBack)
    #expect(try meanBytes(overlay, to: b1.node, b1.ipv4) > kernel / 2)
    try service.stop()
    try a1.node.shell("ethtool -K eth0 tso off")
    let again = try overlay.start("a") {
      $0.tier = tier
      $0.carriesBulk = false
    }
    #expect(try transfer(again)?.contains("TCP in bulk") != true)
    try again.stop()
  }

  /// A device without entries, whose one default destination is all it knows.
  @Test(arguments: Tier.allCases) func segmentsOverADeviceThatDoesNotLearnStayLargeOrAreCarried(tier: Tier)
    throws
  {
    let overlay = try TestOverlay(vxlan: "noudpcsum nolearning", ipv6: false)
    try overlay.ping("a1", "b1")
    let b1 = overlay.containers["b1"]!
    let kernel = try meanBytes(overlay, to: b1.node, b1.ipv4)
    let service = try overlay.start("a") { $0.tier = tier }
    let isFine = try eventually(10) {
      let before = try service.stats().forwarded.bytes
      let mean = try meanBytes(overlay, to: b1.node, b1.ipv4)
      return try mean > kernel / 2 || service.stats().forwarded.bytes - before > 30 << 20
    }
    #expect(isFine)
    try service.stop()
  }
}
