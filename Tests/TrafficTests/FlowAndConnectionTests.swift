// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import PacketHeaders
import TestSupport
import Testing

@testable import Traffic

/// Parallel flows, and round trips over TCP.
@Suite(.serialized, .enabled(if: mayUseKernel, "\(needsRoot)"))
struct FlowAndConnectionTests {
  let timing = LoadTiming(warmUp: 0.05, duration: 0.2)

  private func path(_ wire: Wire) -> Path { Path(client: wire.near, server: wire.far, port: 5001) }

  private func tcp(_ station: Station, _ field: String) throws -> Int {
    try station.namespace.value.run {
      let lines = try FileText.read("/proc/thread-self/net/snmp").split(separator: "\n")
        .filter { $0.hasPrefix("Tcp:") }.map { $0.split(separator: " ") }
      return try #require(lines[0].firstIndex(of: Substring(field)).flatMap { Int(lines[1][$0]) })
    }
  }

  @Test(arguments: [1, 8]) func parallelDatagramFlowsAddUp(flows: Int) throws {
    let wire = try Wire()
    let report = try UDPStream(size: 64, rate: 1000, flows: flows, timing: timing).run(path(wire))
    #expect(report.received == report.sent)
    #expect(report.sent > UInt64(150 * flows), "a thousand a second each, for a quarter of a second")
    #expect(report.sent <= UInt64(300 * flows))
    #expect(report.reordered == 0, "each flow is numbered by itself")
  }

  @Test func aFlowThatIsLostIsMissingFromTheSum() throws {
    let wire = try Wire()
    let sink = try FrameSink(on: [("eth0", wire.far.namespace)], port: 5003)
    let report = try UDPStream(size: 64, rate: 1000, flows: 4, timing: timing).run(path(wire))
    #expect(report.lost == (try sink.packets()))
    #expect(report.lost > 0)
    #expect(report.received > 2 * report.lost)
  }

  @Test func parallelConnectionsAddUp() throws {
    let wire = try Wire()
    let report = try TCPStream(size: 16384, flows: 4, timing: timing).run(path(wire))
    #expect(report.sentBytes > 0)
    #expect(report.receivedBytes == report.sentBytes)
    #expect(try tcp(wire.near, "ActiveOpens") == 4)
  }

  @Test(arguments: [1, 64, 65507]) func tcpRoundTripsKeepOneConnection(size: Int) throws {
    let wire = try Wire()
    let report = try TCPRoundTrip(size: size, timing: timing).run(path(wire))
    #expect(report.requests > 0)
    #expect(report.timeouts == 0)
    #expect(report.latency.count == report.requests)
    #expect(try tcp(wire.near, "ActiveOpens") == 1)
  }

  @Test(arguments: [1, 16000]) func everyTransactionHasAConnectionAndNoneWaits(size: Int) throws {
    let wire = try Wire()
    let report = try TCPRoundTrip(size: size, connectsEachTime: true, timing: timing).run(path(wire))
    #expect(report.requests > 0)
    #expect(report.timeouts == 0)
    #expect(try tcp(wire.near, "ActiveOpens") >= Int(report.requests))
    for end in [wire.near, wire.far] {
      let waiting = try end.namespace.value.run { try shell("ss", "-tanH", "state", "time-wait") }
      #expect(waiting.isEmpty)
    }
  }

  @Test func aServerBehindATranslationIsMetAtItsOtherAddress() throws {
    let wire = try Wire()
    var path = path(wire)
    path.server.seenAs = path.server.ipv4
    // Where it binds is its own namespace's affair: any address.
    path.server.ipv4 = IPv4Address("0.0.0.0")!
    #expect(try TCPRoundTrip(size: 64, timing: timing).run(path).requests > 0)
    #expect(try UDPRoundTrip(size: 64, timing: timing).run(path).timeouts == 0)
  }

  @Test func mergedHistogramsHoldBoth() {
    var one = LatencyHistogram()
    var other = LatencyHistogram()
    #expect(one.microseconds(50) == 0)
    for value in 1...100 { one.record(nanoseconds: UInt64(value) * 1000) }
    for value in 101...200 { other.record(nanoseconds: UInt64(value) * 1000) }
    one.add(other)
    #expect(one.count == 200)
    #expect(abs(one.microseconds(50) - 100) < 1)
    #expect(abs(one.maxMicroseconds - 200) < 1)
  }
}
