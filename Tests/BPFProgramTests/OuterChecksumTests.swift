// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import CBPFObjects
import PacketHeaders
import TestSupport
import Testing

@Suite(.enabled(if: mayUseKernel, .init(rawValue: needsRoot)))
struct OuterChecksumTests {
  static func random(_ seed: inout SplitMix) -> [UInt8] {
    let count = Int.random(in: 0...1300, using: &seed)
    let data = (0..<count).map { _ in UInt8.random(in: 0...255, using: &seed) }
    let from = UInt16.random(in: 1...65535, using: &seed)
    let to = UInt16.random(in: 1...65535, using: &seed)
    let v6 = Bool.random(using: &seed)
    let tos = UInt8.random(in: 0...255, using: &seed)
    let ttl = UInt8.random(in: 1...255, using: &seed)
    let payload =
      switch Int.random(in: 0..<3, using: &seed) {
      case 0: Frames.udp(data, from: from, to: to)
      case 1: Frames.tcp(data, from: from, to: to)
      default: Frames.icmp(data, v6: v6)
      }
    return v6
      ? Frames.v6(payload, trafficClass: tos, hopLimit: ttl, flowLabel: UInt32(from))
      : Frames.v4(payload, tos: tos, ttl: ttl, fragment: Bool.random(using: &seed) ? 0x4000 : 0)
  }

  /// Every outer datagram sums to all ones, as a receiver would find (RFC 768).
  @Test(arguments: 0..<4)
  func verifiesInSoftware(part: Int) throws {
    var seed = SplitMix(state: UInt64(part))
    let frames = (0..<500).map { _ in Self.random(&seed) }
    let outputs = try Fixture.run { fixture in
      try fixture.setTunnel(0) { $0.flags = CULVERT_TUNNEL_UDP_CSUM.rawValue }
      return try frames.map { try fixture.port.testRun($0) }
    }
    for (frame, output) in zip(frames, outputs) {
      #expect(output.action == .redirect)
      #expect(Array(output.data.dropFirst(50)) == frame)
      let ip = try #require(IPv4Header(output.data, at: 14))
      #expect(ip.hasValidChecksum)
      let udp = try #require(UDPHeader(output.data, at: 34))
      #expect(udp.checksum != 0)
      var sum = InternetChecksum.pseudoHeader(
        source: ip.source, destination: ip.destination, protocol: IPProtocol.udp, length: Int(udp.length))
      let datagram = Array(output.data.dropFirst(34))
      sum.add(datagram.span.bytes)
      #expect(sum.folded == 0xffff)
    }
  }

  /// A sum whose complement is zero is sent as all ones: zero would mean no checksum. One word of the
  /// inner source address makes the sum come out so.
  @Test func neverZero() throws {
    func frame(_ low: UInt16) -> [UInt8] {
      Frames.v4(from: MACAddress(value: 0x0200_5e01_0000 | UInt64(low)))
    }
    func checksum(_ frame: [UInt8]) throws -> UInt16 { try #require(UDPHeader(frame, at: 34)).checksum }
    var outer = Outer.sent
    outer.port = 50000
    outer.checksum = true
    // What lacks to all ones with that word zero.
    let chosen = frame(try checksum(outer.around(frame(0))))
    #expect(try checksum(outer.around(chosen)) == 0xffff)
    let sent = try Fixture.run { fixture in
      try fixture.setTunnel(0) {
        $0.flags = CULVERT_TUNNEL_UDP_CSUM.rawValue
        $0.source_min = 50000
        $0.source_max = 50000
      }
      try fixture.setFDB(MACAddress(chosen[6..<12])!, .local(slot: 1))
      return try fixture.port.testRun(chosen).data
    }
    #expect(try checksum(sent) == 0xffff)
  }
}
