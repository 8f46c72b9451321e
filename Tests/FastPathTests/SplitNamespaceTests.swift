// SPDX-License-Identifier: Apache-2.0
import FastPath
import LinuxSystem
import TestSupport
import Testing

/// Docker's layout: bridge and VXLAN device in a namespace of their own, the uplink in the host's.
@Suite(.serialized, .enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
struct SplitNamespaceTests {
  @Test(arguments: [Tier.xdp, .afxdp]) func carriesTrafficFromEndToEnd(tier: Tier) throws {
    let overlay = try TestOverlay(containers: ["a1", "a2", "b1"], layout: .split)
    try overlay.ping("a1", "b1")
    try overlay.ping("a1", "a2")
    let services = try ["a", "b"].map { host in try overlay.start(host) { $0.tier = tier } }
    #expect(try overlay.answers("a1", "b1") == 5)
    #expect(try overlay.answers("a1", "a2") == 5)
    for (from, to) in [("a1", "b1"), ("b1", "a1"), ("a2", "a1")] {
      let transfer = try Transfer(
        from: overlay.containers[from]!, to: overlay.containers[to]!, bytes: 8 << 20)
      #expect(transfer.finish() == .intact)
    }
    for service in services {
      let stats = try service.stats()
      let uplink = try #require(stats.ports.first)
      #expect(uplink.forwarded["decapsulated"]?.bytes ?? 0 > 8 << 20, "by the fast path")
      #expect(stats.ports.allSatisfy { ($0.notSent ?? 0) == 0 && ($0.notRedirected ?? 0) == 0 })
      try service.stop()
    }
    for container in overlay.containers.values { #expect(try container.node.checksumErrors() == 0) }
  }

  /// As Docker makes it: neither local nor remote nor device, and an entry for each container elsewhere.
  @Test(arguments: [Tier.xdp, .afxdp]) func carriesWhatDockerConfigures(tier: Tier) throws {
    let overlay = try TestOverlay(
      vxlan: "noudpcsum proxy l2miss l3miss", ipv6: false, layout: .split
    ) {
      $0.remote = false
      $0.isBound = false
    }
    for (host, other) in [("a", "b1"), ("b", "a1")] {
      let far = overlay.containers[other]!
      try overlay.hosts[host]!.shell(
        "bridge fdb add \(far.macText) dev vx0 dst \(overlay.address(of: TestOverlay.other(host))) self permanent"
      )
    }
    #expect(try overlay.answers("a1", "b1", count: 2) == 2)
    let service = try overlay.start("a") {
      $0.tier = tier
      $0.uplinkNamespace = overlay.underlays["a"]!.path
    }
    #expect(try overlay.answers("a1", "b1") == 5)
    let (a1, b1) = (overlay.containers["a1"]!, overlay.containers["b1"]!)
    #expect(try Transfer(from: a1, to: b1, bytes: 4 << 20).finish() == .intact)
    #expect(try Transfer(from: b1, to: a1, bytes: 4 << 20).finish() == .intact)
    #expect(try service.stats().forwarded.packets > 1000)
    try service.stop()
  }

  /// A program of tc cannot leave its namespace: said, and nothing is changed.
  @Test func tierTCIsRefused() throws {
    let overlay = try TestOverlay(ipv6: false, layout: .split)
    let node = overlay.containers["a1"]!.node
    let before = try node.features(of: "eth0")
    let refusal = #expect(throws: Failure.self) { try overlay.start("a") { $0.tier = .tc } }
    #expect(refusal?.status == .unavailable)
    #expect(refusal?.advice?.contains("different namespaces") == true)
    #expect(try node.features(of: "eth0") == before)
    #expect(try overlay.answers("a1", "b1") == 5)
  }
}
