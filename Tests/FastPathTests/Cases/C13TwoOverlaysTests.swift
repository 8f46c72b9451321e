// SPDX-License-Identifier: Apache-2.0
import FastPath
import LinuxSystem
import TestSupport
import Testing

/// Two overlays over one uplink, as on every Docker host: whatever is carried, nothing that worked stops.
@Suite(.serialized, .enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
struct C13TwoOverlaysTests {
  private func two(ipv6: Bool = false) throws -> TestOverlay {
    let overlay = try TestOverlay(ipv6: ipv6)
    try overlay.addDomain(TestOverlay.Domain(bridge: "br1", device: "vx1", vni: 43))
    for name in ["a3", "b3"] { try overlay.addContainer(name, bridge: "br1") }
    try overlay.ping("a1", "b1")
    try overlay.ping("a3", "b3")
    return overlay
  }

  private func answers(_ overlay: TestOverlay) throws -> [Int] {
    [try overlay.answers("a1", "b1"), try overlay.answers("a3", "b3")]
  }

  @Test(arguments: zip([Tier.xdp, .afxdp, .tc, .xdp, .tc], [Tier.xdp, .afxdp, .tc, .tc, .xdp]))
  func bothAreReached(first: Tier, second: Tier) throws {
    let overlay = try two()
    #expect(try answers(overlay) == [5, 5])
    let one = try overlay.start("a") { $0.tier = first }
    #expect(try answers(overlay) == [5, 5], "the second overlay beside a served first")
    // The second is served, or refused; the packets of both arrive in either case.
    let other = try? overlay.start("a") {
      $0.overlay = "br1"
      $0.tier = second
    }
    #expect(try answers(overlay) == [5, 5], "both, the second \(other == nil ? "refused" : "served")")
    try one.stop()
    #expect(try answers(overlay) == [5, 5], "the first let go")
    try other?.stop()
    #expect(try answers(overlay) == [5, 5])
  }

  /// An uplink takes one XDP program: the second process is told what serves both, and nothing of it is left.
  @Test(arguments: [Tier.xdp, .afxdp]) func aSecondProcessIsToldWhatServesBoth(tier: Tier) throws {
    let overlay = try two()
    let name = overlay.hosts["a"]!.namespace.name
    let one = try overlay.start("a") { $0.tier = tier }
    let a3 = overlay.containers["a3"]!.node
    let before = try a3.features(of: "eth0")
    let failure = #expect(throws: Failure.self) {
      try overlay.start("a") {
        $0.overlay = "br1"
        $0.tier = tier
      }
    }
    let command = "culvert up --netns \(name) --overlay br0 --overlay br1 --tier \(tier.rawValue)"
    #expect(failure?.description.contains(command) == true, "\(failure.map { "\($0)" } ?? "")")
    #expect(failure?.description.contains("culvert down --netns \(name)") == true)
    #expect(try a3.features(of: "eth0") == before)
    let carried = try one.stats().forwarded.packets
    #expect(try answers(overlay) == [5, 5])
    #expect(try one.stats().forwarded.packets > carried)
    try one.stop()
  }

  /// With --detach it is handed to the process that has the uplink: both are carried, and each can be let go alone.
  @Test(arguments: [Tier.xdp, .afxdp]) func aSecondIsHandedToTheProcessThatHasTheUplink(tier: Tier) throws {
    let overlay = try two()
    let name = overlay.hosts["a"]!.namespace.name
    let one = try overlay.start("a") { $0.tier = tier }
    func asked(_ change: (inout FastPathOptions) -> Void = { _ in }) -> AgentOptions {
      var options = overlay.options("a") {
        $0.overlay = "br1"
        $0.tier = tier
      }
      change(&options)
      return AgentOptions(overlays: ["br1"], each: options)
    }
    let failure = #expect(throws: Failure.self) {
      _ = try FastPathService.startOrJoin(asked { $0.entryCapacity = 77 })
    }
    #expect(failure?.description.contains("another --entries") == true, "\(failure.map { "\($0)" } ?? "")")
    guard case .joined(let joined) = try FastPathService.startOrJoin(asked()) else {
      Issue.record("it has begun beside the first")
      return
    }
    #expect(joined.statuses.map(\.bridge) == ["br1"])
    func carried() throws -> [UInt64] {
      try Overlays.directories(namespace: name, all: false).compactMap { try Overlays.stats($0) }
        .sorted { $0.overlay < $1.overlay }.map(\.forwarded.packets)
    }
    let before = try carried()
    #expect(try answers(overlay) == [5, 5])
    let after = try carried()
    #expect(before.count == 2 && zip(before, after).allSatisfy { $0 + 4 <= $1 }, "\(before) \(after)")
    try joined.leave()
    #expect(try one.statuses().map(\.bridge) == ["br0"])
    #expect(try answers(overlay) == [5, 5])
    try one.stop()
  }

  /// On kernels without tcx, each has its filter on the uplink, and clsact goes with the last.
  @Test func filtersShareADevice() throws {
    let overlay = try two()
    let host = overlay.hosts["a"]!
    func carried(_ service: FastPathService) throws -> UInt64 {
      try service.stats().ports.reduce(0) { $0 + ($1.forwarded["decapsulated"]?.packets ?? 0) }
    }
    let services = try ["br0", "br1"].map { bridge in
      try overlay.start("a") {
        $0.overlay = bridge
        $0.tier = .tc
        $0.avoidsTCX = true
      }
    }
    #expect(try answers(overlay) == [5, 5])
    for service in services { #expect(try carried(service) >= 4) }
    try services[0].stop()
    let before = try carried(services[1])
    #expect(try answers(overlay) == [5, 5])
    #expect(try carried(services[1]) >= before + 4)
    #expect(try host.shell("tc qdisc show dev eth0").contains("clsact"))
    try services[1].stop()
    for device in ["eth0", "va1", "va3"] {
      #expect(try !host.shell("tc qdisc show dev \(device)").contains("clsact"))
    }
  }

  /// Another VXLAN device on the same port with the same VNI on another address of the host, and one that comes late.
  @Test(arguments: Tier.allCases) func anOverlayThatComesLaterIsReachedToo(tier: Tier) throws {
    let overlay = try TestOverlay(ipv6: false)
    try overlay.ping("a1", "b1")
    let service = try overlay.start("a") { $0.tier = tier }
    try overlay.addDomain(TestOverlay.Domain(bridge: "br1", device: "vx1", vni: 43))
    for name in ["a3", "b3"] { try overlay.addContainer(name, bridge: "br1") }
    #expect(try answers(overlay) == [5, 5])
    for host in overlay.hosts.values { try host.shell("ip link del vx1") }
    #expect(try overlay.answers("a1", "b1") == 5)
    try service.stop()
  }
}
