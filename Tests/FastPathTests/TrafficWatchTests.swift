// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import TestSupport
import Testing

@testable import FastPath

/// A port whose traffic is mostly the kernel's is given back to it, and taken again after a pause.
struct TrafficWatchTests {
  private static func counters(_ bytes: [Verdict: UInt64]) -> SlotCounters {
    var counters = SlotCounters()
    counters.bytes = bytes
    return counters
  }

  @Test func whatIsMostlyPassedIsNamed() {
    let before = Self.counters([.passHost: 1_000_000, .forwardedEncapsulated: 5_000_000])
    let now = Self.counters([.passHost: 2_900_000, .passMTU: 100_000, .forwardedEncapsulated: 5_100_000])
    let reason = Engine.mostlyPassed(from: before, to: now, share: 4)
    #expect(reason == "95 % of its bytes are the kernel's to forward (mostly `host`)")
    #expect(Engine.mostlyPassed(from: before, to: now, share: 30) == nil)
  }

  @Test func onlyFastTrafficInLargeFramesMayBeBulk() {
    func isSuspect(bytes: UInt64, frames: UInt64, _ nanoseconds: UInt64) -> Bool {
      var now = SlotCounters()
      (now.bytes, now.packets) = ([.forwardedEncapsulated: bytes], [.forwardedEncapsulated: frames])
      return BulkWatch.isSuspect(from: SlotCounters(), to: now, nanoseconds: nanoseconds)
    }
    #expect(isSuspect(bytes: 14_000_000, frames: 10_000, 100_000_000))
    #expect(!isSuspect(bytes: 14_000_000, frames: 20_000, 100_000_000), "small frames")
    #expect(!isSuspect(bytes: 1_400_000, frames: 1_000, 100_000_000), "14 MB/s")
    #expect(!isSuspect(bytes: 0, frames: 0, 100_000_000))
  }

  @Test func littleTrafficSaysNothing() {
    let now = Self.counters([.passHost: 400_000])
    #expect(Engine.mostlyPassed(from: SlotCounters(), to: now, share: 4) == nil)
  }

  @Test func pausesGrowAndAreForgotten() {
    let first = Backoff("x", now: 0)
    #expect(!first.isOver(now: Backoff.first - 1) && first.isOver(now: Backoff.first))
    let second = Backoff("x", now: 0, after: first)
    #expect(!second.isOver(now: 2 * Backoff.first - 1) && second.isOver(now: 2 * Backoff.first))
    var last = second
    for _ in 0..<20 { last = Backoff("x", now: 0, after: last) }
    #expect(last.until == Backoff.longest)
  }

  @Test(.enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
  func aContainerThatTalksToItsHostIsGivenBack() throws {
    let overlay = try TestOverlay()
    try overlay.hosts["a"]!.shell("ip addr add 198.19.0.254/16 dev br0")
    let service = try overlay.start("a")
    defer { try? service.stop() }
    func port() throws -> Status.Port? { try service.status().ports.first { $0.name == "va1" } }
    #expect(try port()?.tier == "xdp")
    try overlay.containers["a1"]!.node.shell("ping -f -q -c 20000 -w 5 -s 1400 198.19.0.254")
    #expect(try port()?.tier == nil)
    #expect(try port()?.reason?.contains("mostly `host`") == true)
    let features = try overlay.containers["a1"]!.node.shell("ethtool -k eth0")
    #expect(features.contains("tx-checksum-ip-generic: on"))
    // What it counted is still told.
    #expect(try service.stats().ports.first { $0.name == "va1" }?.passed["host"]?.packets ?? 0 > 100)
    try overlay.ping("a1", "b1", count: 3)
  }
}
