// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import TestSupport
import Testing

@testable import Traffic

@Suite(.serialized, .enabled(if: mayUseKernel, "\(needsRoot)"))
struct GateTests {
  private func run(_ wire: Wire, mtu: Int = 1500) -> Gate.Report {
    var gate = Gate(mtu: mtu)
    gate.attempts = 2
    return gate.run(Path(client: wire.near, server: wire.far, port: 6000))
  }

  @Test func aGoodPathPasses() throws {
    let report = run(try Wire())
    #expect(report.passed, "\(report.summary)")
    #expect(report.checks.count == 14, "ping, UDP and five TCP checks, twice")
  }

  @Test func aPathWithoutPingFailsAtOnce() throws {
    let wire = try Wire()
    _ = try wire.far.namespace.value.run { try shell("sysctl", "-qw", "net.ipv4.icmp_echo_ignore_all=1") }
    let report = run(wire)
    #expect(!report.passed)
    #expect(report.checks.count == 1)
  }

  @Test func lostUDPIsFound() throws {
    let wire = try Wire()
    // The port of the echo's requests.
    let sink = try FrameSink(on: [("eth0", wire.far.namespace)], port: 6001)
    let report = run(wire)
    #expect(report.checks.filter { $0.problem != nil }.map(\.name) == ["UDP IPv4"])
    #expect(try sink.packets() > 0)
  }

  @Test func largeSegmentsThatVanishAreFound() throws {
    // The receiver announces more than it takes: small writes pass, full segments do not.
    let wire = try Wire()
    for (end, size) in [(wire.near, "1500"), (wire.far, "1300")] {
      _ = try end.namespace.value.run {
        try shell("ip", "link", "set", "eth0", "mtu", size)
        try shell("ip", "route", "replace", "198.18.77.0/24", "dev", "eth0", "advmss", "1460")
        try shell("ethtool", "-K", "eth0", "tso", "off", "gso", "off", "gro", "off")
      }
    }
    let report = run(wire)
    #expect(report.checks.contains { $0.name == "TCP writes of 1 IPv4" && $0.problem == nil })
    #expect(report.checks.contains { $0.name.hasPrefix("TCP") && $0.problem != nil })
  }

  @Test func anEndWithASmallerMTUIsFound() throws {
    // What is larger than the receiver takes vanishes, as on an overlay whose MTU is wrong.
    let wire = try Wire()
    _ = try wire.far.namespace.value.run { try shell("ip", "link", "set", "eth0", "mtu", "1400") }
    let report = run(wire)
    #expect(!report.passed)
    #expect(report.summary.contains("UDP IPv4"))
  }

  @Test func randomStreamFindsOneChangedByte() {
    var writer = RandomStream(seed: 9)
    var bytes = (0..<1000).map { _ in writer.next() }
    var reader = RandomStream(seed: 9)
    #expect(bytes.withUnsafeBytes { reader.firstDifference($0) } == nil)
    bytes[731] ^= 1
    reader = RandomStream(seed: 9)
    #expect(bytes.withUnsafeBytes { reader.firstDifference($0) } == 731)
  }
}
