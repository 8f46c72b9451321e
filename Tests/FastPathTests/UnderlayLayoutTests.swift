// SPDX-License-Identifier: Apache-2.0
import FastPath
import LinuxSystem
import TestSupport
import Testing

/// Underlays other than one wire and one namespace: gateways as next hops, and Docker's layout, where the uplink is
/// in another namespace than the bridge.
@Suite(.serialized, .enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
struct UnderlayLayoutTests {
  func forwarded(_ name: String, _ kind: String, _ service: FastPathService) throws -> UInt64 {
    try #require(try service.stats().ports.first { $0.name == name }).forwarded[kind]?.packets ?? 0
  }

  @Test(arguments: Tier.allCases) func gatewaysAreNextHops(tier: Tier) throws {
    let overlay = try TestOverlay(ipv6: false, routed: true)
    try overlay.ping("a1", "b1")
    let service = try overlay.start("a") { $0.tier = tier }
    try overlay.ping("a1", "b1", count: 5)
    #expect(try forwarded("va1", "encapsulated", service) >= 4)
    #expect(try forwarded("eth0", "decapsulated", service) >= 4)
    let tunnels = try service.status().tunnels
    #expect(tunnels.map(\.remote) == [overlay.address(of: "b")] && tunnels.allSatisfy { $0.reason == nil })

    // Without the gateway's address the kernel asks for it, and the fast path goes on from its answer.
    let a = overlay.underlays["a"]!
    try a.shell("ip neigh del 198.18.1.254 dev eth0")
    let before = try forwarded("va1", "encapsulated", service)
    #expect(try eventually { try overlay.answers("a1", "b1", count: 2) == 2 })
    #expect(
      try eventually {
        _ = try overlay.answers("a1", "b1", count: 2)
        return try forwarded("va1", "encapsulated", service) > before
      })
    try service.stop()
  }

  @Test(arguments: Tier.allCases) func theUplinkMayBeElsewhere(tier: Tier) throws {
    let overlay = try TestOverlay(ipv6: false, layout: .split)
    try overlay.ping("a1", "b1")
    let service = try overlay.start("a") { $0.tier = tier }
    try overlay.ping("a1", "b1", count: 5)
    #expect(try forwarded("va1", "encapsulated", service) >= 4)
    #expect(try forwarded("eth0", "decapsulated", service) >= 4)

    // What is there counts, not what is here: IPsec of the uplink's namespace.
    let (host, here) = (overlay.underlays["a"]!, overlay.hosts["a"]!)
    func reason() throws -> String { try service.status().ports[0].reason ?? "" }
    let policy =
      "ip xfrm policy add src 198.18.0.1/32 dst 198.18.0.2/32 dir out tmpl proto esp mode transport"
    try here.shell(policy)
    #expect(try !eventually(1.5) { try reason().contains("IPsec") })
    try host.shell(policy)
    #expect(try eventually { try reason().contains("IPsec") })
    try host.shell("ip xfrm policy del src 198.18.0.1/32 dst 198.18.0.2/32 dir out")
    #expect(try eventually { try !reason().contains("IPsec") })
    try service.stop()
  }

  @Test func anUplinksNamespaceThatIsDeletedEndsIt() throws {
    let overlay = try TestOverlay(ipv6: false, layout: .split)
    let service = try overlay.start("a") { $0.tier = .xdp }
    overlay.underlays["a"]!.namespace.remove()
    let error = #expect(throws: Failure.self) { try service.waitUntilEnded() }
    #expect(error?.description.contains("gone") == true)
  }
}
