// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import TestSupport
import Testing

@testable import Traffic

@Suite(.serialized, .enabled(if: mayUseKernel, "\(needsRoot)"))
struct SocketWorkloadTests {
  let timing = LoadTiming(warmUp: 0.05, duration: 0.2)

  @Test(arguments: [8, 64, 1400, 65507])
  func udpStreamCountsToThePacket(size: Int) throws {
    let wire = try Wire()
    let path = Path(client: wire.near, server: wire.far, port: 5001)
    let report = try UDPStream(size: size, rate: 2000, timing: timing).run(path)
    #expect(report.sent > 0)
    #expect(report.sent <= 520, "2000/s for a quarter of a second, and one burst")
    #expect(report.received == report.sent)
    #expect(report.lost == 0)
    #expect(report.reordered == 0)
  }

  /// However many a send holds, every datagram arrives as one of its own.
  @Test(arguments: [2, 64]) func udpBatchesCountToTheDatagram(segments: Int) throws {
    let wire = try Wire()
    let stream = UDPStream(size: 64, rate: 4000, segments: segments, timing: timing)
    let report = try stream.run(Path(client: wire.near, server: wire.far, port: 5001))
    #expect(report.sent > 0 && report.sent % UInt64(segments) == 0)
    #expect(report.received == report.sent)
    #expect(report.reordered == 0)
    #expect(throws: Failure.self) {
      try UDPStream(size: 64, segments: 65, timing: timing).run(
        Path(client: wire.near, server: wire.far, port: 5002))
    }
  }

  @Test func udpStreamCountsWhatIsLost() throws {
    let wire = try Wire()
    let sink = try FrameSink(on: [("eth0", wire.far.namespace)], port: 5001)
    let report = try UDPStream(size: 64, rate: 2000, timing: timing).run(
      Path(client: wire.near, server: wire.far, port: 5001))
    #expect(report.sent > 0)
    #expect(report.received == 0)
    #expect(report.lost == report.sent)
    #expect(try sink.packets() == report.sent)
  }

  @Test(arguments: [1, 1448, 65536])
  func tcpStreamDeliversAllItSends(size: Int) throws {
    let wire = try Wire()
    let report = try TCPStream(size: size, timing: timing).run(
      Path(client: wire.near, server: wire.far, port: 5001))
    #expect(report.sentBytes > 0)
    #expect(report.receivedBytes == report.sentBytes)
    #expect(report.receivedBytesPerSecond > 0)
  }

  /// Every fiftieth packet is dropped where it arrives: TCP delivers all the same, and says what it took.
  @Test func tcpStreamTellsWhatItSentAgain() throws {
    let wire = try Wire()
    let whole = try TCPStream(size: 1448, timing: timing).run(
      Path(client: wire.near, server: wire.far, port: 5001))
    #expect(whole.segments > 0)
    #expect(whole.retransmitted < whole.segments / 50)
    try wire.far.namespace.value.run {
      try shell("nft", "add table ip t")
      try shell("nft", "add chain ip t c { type filter hook input priority 0; }")
      try shell("nft", "add rule ip t c numgen inc mod 50 == 0 drop")
    }
    let report = try TCPStream(size: 1448, timing: timing).run(
      Path(client: wire.near, server: wire.far, port: 5002))
    #expect(report.receivedBytes == report.sentBytes)
    #expect(report.retransmitted > 0)
    #expect(report.segments >= report.retransmitted)
  }

  @Test func udpRoundTripsAreCountedOnce() throws {
    let end = try loopback()
    var path = Path(client: end, server: end, port: 5001)
    path.client.ipv4 = .init("127.0.0.2")!
    let report = try UDPRoundTrip(size: 64, timing: timing).run(path)
    #expect(report.timeouts == 0)
    #expect(report.requests > 0)
    #expect(report.latency.count == report.requests)
    #expect(report.latency.microseconds(50) > 0)
    #expect(report.latency.microseconds(50) <= report.latency.microseconds(99.9))
  }

  @Test func requestsWithoutAnswerAreLosses() throws {
    let wire = try Wire()
    let sink = try FrameSink(on: [("eth0", wire.near.namespace)], port: 5001)
    let report = try UDPRoundTrip(size: 64, timing: timing).run(
      Path(client: wire.near, server: wire.far, port: 5001))
    #expect(report.requests > 0)
    #expect(report.timeouts == report.requests)
    #expect(report.lostFraction == 1)
    #expect(try sink.packets() >= report.requests, "the answers")
  }

  @Test func aServerThatCannotStartEndsTheRun() throws {
    let wire = try Wire()
    var path = Path(client: wire.near, server: wire.far, port: 5001)
    path.server.ipv4 = .init("198.18.78.9")!
    #expect(throws: Failure.self) { try UDPStream(size: 64, timing: timing).run(path) }
    #expect(throws: Failure.self) { try TCPStream(size: 64, timing: timing).run(path) }
    #expect(throws: Failure.self) { try UDPStream(size: 64, flows: 3, timing: timing).run(path) }
    #expect(throws: Failure.self) { try UDPRoundTrip(size: 64, timing: timing).run(path) }
    #expect(throws: Failure.self) { try TCPRoundTrip(size: 64, timing: timing).run(path) }
  }

  @Test func sizesThatCannotBeNumberedAreRefused() throws {
    let path = Path(client: try loopback(), server: try loopback(), port: 5001)
    #expect(throws: Failure.self) { try UDPStream(size: 7, timing: timing).run(path) }
    #expect(throws: Failure.self) { try UDPStream(size: 64, flows: 9, timing: timing).run(path) }
    #expect(throws: Failure.self) { try UDPRoundTrip(size: 65508, timing: timing).run(path) }
    #expect(throws: Failure.self) { try TCPRoundTrip(size: 0, timing: timing).run(path) }
  }
}
