// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import CBPFObjects
import PacketHeaders
import TestSupport
import Testing

@testable import FastPath

/// Packets of several segments (GSO), which only tier `tc` sees. Test runs make none that could be forwarded: an skb whose
/// segments are TCP's comes from a socket or from GRO alone (SegmentChecksumTests, C20).
@Suite(.enabled(if: mayUseKernel, .init(rawValue: needsRoot)))
struct SegmentTests {
  private static let payload = [UInt8](repeating: 7, count: 2500)

  private static func received(_ datagram: Frames.Payload, v6: Bool) throws -> (value: Int32, data: [UInt8]) {
    try Fixture.run(.tc) { fixture in
      try fixture.setPort(1, ifindex: Fixture.lo, mtu: 9000)
      let inner =
        v6
        ? Frames.v6(datagram, from: Frames.b1, to: Frames.a1)
        : Frames.v4(datagram, from: Frames.b1, to: Frames.a1)
      let result = try fixture.uplink.testRunSKB(
        Outer().around(inner), ifindex: Fixture.lo, segmentSize: 500)
      return (Int32(bitPattern: result.value), result.data)
    }
  }

  /// A UDP socket could not cut them up again while the skb keeps the tunnel's marks.
  @Test(arguments: [false, true])
  func mergedDatagramsAreTheKernels(v6: Bool) throws {
    let outcome = try Self.received(Frames.udp(Self.payload), v6: v6)
    #expect(outcome.value == (try TCTier.clearsTunnelMarks() ? 7 : -1))
  }
}
