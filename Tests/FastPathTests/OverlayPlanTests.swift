// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import TestSupport
import Testing

@testable import FastPath

/// `up --dry-run`: what it says is what `up` does, and it does nothing itself.
@Suite(.serialized, .enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
struct OverlayPlanTests {
  private func state(_ overlay: TestOverlay) throws -> [String] {
    let host = overlay.hosts["a"]!
    let folders = try Overlays.directories(namespace: host.path, all: false).map(\.path)
    return try [
      host.shell("ip link"), host.shell("bpftool net show"), host.shell("bridge fdb show"),
      overlay.containers["a1"]!.node.shell("ethtool -k eth0"), overlay.hosts["b"]!.shell("ethtool -k eth0"),
    ] + folders
  }

  @Test(arguments: Tier.allCases) func itSaysWhatUpDoesAndChangesNothing(tier: Tier) throws {
    let overlay = try TestOverlay(containers: ["a1", "a2", "b1"], wire: .partialChecksums, ipv6: false)
    try overlay.ping("a2", "b1")
    try overlay.hosts["a"]!.shell("ip link set va2 type bridge_slave isolated on")
    let options = AgentOptions(overlays: nil, each: overlay.options("a") { $0.tier = tier })
    let before = try state(overlay)
    let plans = try FastPathService.plan(options)
    #expect(try state(overlay) == before)
    try #require(plans.count == 1)
    let plan = plans[0]
    #expect(plan.overlay == "br0" && plan.tier == tier.rawValue && plan.isServed && plan.reason == nil)
    #expect(plan.ports.map(\.name) == ["eth0", "va1", "va2"])
    #expect(plan.ports[2].reason == "is isolated")
    // The same by `up`.
    let service = try FastPathService.start(options)
    let status = try service.status()
    #expect(status.ports.map { $0.reason == nil } == plan.ports.map { $0.reason == nil })
    #expect(status.ports.map(\.reason) == plan.ports.map(\.reason))
    let planned = plan.ports.flatMap(\.changes).count
    #expect((planned == 0) == (tier == .tc))
    let container = try overlay.containers["a1"]!.node.shell("ethtool -k eth0")
    for change in plan.ports[1].changes.filter({ $0.contains("tx-checksum") }) {
      let feature = try #require(change.split(separator: ": ").last?.split(separator: " ").first)
      #expect(container.contains("\(feature): off"), "\(change)")
    }
    // Who serves it is told.
    #expect(try FastPathService.plan(options).first?.reason?.contains("serves it already") == true)
    try service.stop()
  }

  @Test func everyReasonAgainstIsTold() throws {
    let overlay = try TestOverlay(ipv6: false)
    try overlay.hosts["a"]!.shell("ip link add vxe type vxlan external dstport 4790")
    try overlay.filterBridged(true, on: "a")
    let options = AgentOptions(overlays: nil, each: overlay.options("a") { $0.tier = .tc })
    let plans = try FastPathService.plan(options)
    #expect(plans.map(\.overlay).sorted() == ["br0", "vxe"])
    #expect(!plans.contains { $0.isServed })
    let bridged = try #require(plans.first { $0.overlay == "br0" })
    #expect(bridged.ports.allSatisfy { $0.reason?.contains("bridge-nf-call") == true })
    let external = try #require(plans.first { $0.overlay == "vxe" })
    #expect(external.reason != nil)
    let named = try FastPathService.plan(
      AgentOptions(overlays: ["br9"], each: overlay.options("a") { $0.tier = .tc }))
    #expect(named.count == 1 && named[0].reason?.contains("br9") == true)
  }
}
