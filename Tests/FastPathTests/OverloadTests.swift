// SPDX-License-Identifier: Apache-2.0
import FastPath
import LinuxSystem
import PacketHeaders
import TestSupport
import Testing
import Traffic

/// More packets than a tier can carry: each one is sent, or is in a counter.
@Suite(.serialized, .enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
struct OverloadTests {
  private func station(_ node: TestOverlay.Node, _ address: String) throws -> Station {
    Station(
      name: address, namespace: SharedNamespace(try NetworkNamespace.open(node.path)),
      ipv4: IPv4Address(address)!)
  }

  @Test(arguments: Tier.allCases) func whatIsNotSentIsCounted(tier: Tier) throws {
    let overlay = try TestOverlay(ipv6: false)
    // Generated frames reach an end without an XDP program only where it runs NAPI.
    try overlay.hosts["a"]!.shell("ethtool -K va1 gro on")
    try overlay.ping("a1", "b1")
    let service = try overlay.start("a") { $0.tier = tier }
    try overlay.ping("a1", "b1", count: 3)
    func stats(_ name: String) throws -> Stats.Port {
      try #require(try service.stats().ports.first { $0.name == name })
    }
    let before = (try stats("va1"), try stats("eth0"))

    let (a1, b1) = (overlay.containers["a1"]!, overlay.containers["b1"]!)
    var load = PacketRate(
      source: try station(a1.node, "198.19.0.1").pinned(to: 0), sourceInterface: "eth0",
      sink: try station(overlay.hosts["b"]!, "198.18.0.2"), sinkInterface: "eth0", port: 4789,
      frame: .udp(
        from: FlowEnd(mac: MACAddress(a1.mac)!, ipv4: IPv4Address("198.19.0.1")!, port: 1234),
        to: FlowEnd(mac: MACAddress(b1.mac)!, ipv4: IPv4Address("198.19.0.101")!, port: 9), size: 64))
    // What an attempt that is done again had sent would be in the counters.
    load.setUpTime = 1
    let report = try load.run(rate: nil, timing: LoadTiming(warmUp: 0.05, duration: 0.2))
    let after = (try stats("va1"), try stats("eth0"))
    let workers = try service.stats().workers
    try service.stop()

    // A worker says what it did; the other tiers have none.
    #expect((workers != nil) == (tier == .afxdp))
    for work in workers ?? [] {
      #expect(work.packets + (work.direct ?? 0) >= report.sunk)
      #expect(work.bursts > 0 && work.bursts < work.packets)
      #expect(work.transmitCalls > 0 && work.transmitCalls < work.packets)
      #expect(work.redirected > 0 && work.redirected <= work.packets)
    }

    func since(_ key: KeyPath<Stats.Port, UInt64?>) -> UInt64 {
      (after.0[keyPath: key] ?? 0) + (after.1[keyPath: key] ?? 0) - (before.0[keyPath: key] ?? 0)
        - (before.1[keyPath: key] ?? 0)
    }
    let received = after.0.received.packets - before.0.received.packets
    let encapsulated =
      (after.0.forwarded["encapsulated"]?.packets ?? 0) - (before.0.forwarded["encapsulated"]?.packets ?? 0)
    #expect(report.sent > 10_000)
    #expect(received == report.sent)
    #expect(encapsulated == report.sent)
    let lost = since(\.notSent) + since(\.notRedirected)
    #expect(
      report.sunk + lost == report.sent, "\(lost) of \(report.sent) in counters, \(report.sunk) arrived")
  }
}
