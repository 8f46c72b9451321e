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

  private func drop(_ wire: Wire, _ match: String...) throws {
    _ = try wire.far.namespace.value.run {
      try shell("tc", "qdisc", "add", "dev", "eth0", "clsact")
      try shell(
        ["tc", "filter", "add", "dev", "eth0", "ingress", "protocol", "ip", "u32"] + match + ["action", "drop"])
    }
  }

  @Test func aGoodPathPasses() throws {
    let report = run(try Wire())
    #expect(report.passed, "\(report.summary)")
    #expect(report.checks.count == 14, "ping, UDP and five TCP checks, twice")
  }

  @Test func aPathWithoutPingFailsAtOnce() throws {
    let wire = try Wire()
    try drop(wire, "match", "ip", "protocol", "1", "0xff")
    let report = run(wire)
    #expect(!report.passed)
    #expect(report.checks.count == 1)
  }

  @Test func lostUDPIsFound() throws {
    let wire = try Wire()
    try drop(wire, "match", "ip", "protocol", "17", "0xff")
    let report = run(wire)
    #expect(report.checks.filter { $0.problem != nil }.map(\.name) == ["UDP IPv4"])
  }

  @Test func lostTCPIsFound() throws {
    let wire = try Wire()
    try drop(wire, "match", "ip", "protocol", "6", "0xff")
    let report = run(wire)
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
