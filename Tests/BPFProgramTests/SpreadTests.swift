// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import CBPFObjects
import PacketHeaders
import TestSupport
import Testing

/// The outer UDP source port: constant per flow, in range, well spread (RFC 7348 section 5).
@Suite(.enabled(if: mayUseKernel, .init(rawValue: needsRoot)))
struct SpreadTests {
  enum Flows: CaseIterable {
    case ports, addresses, portsOverIPv6, flowLabels, addressesOverIPv6, fragments
  }

  static func frame(_ flows: Flows, _ number: Int) -> [UInt8] {
    let n = UInt16(number)
    let v4 = IPv4Address(value: Frames.a1v4.value &+ UInt32(number))
    let v6 = IPv6Address(high: Frames.a1v6.high, low: Frames.a1v6.low + UInt64(number))
    return switch flows {
    case .ports: Frames.v4(Frames.udp(from: 1024 + n))
    case .addresses: Frames.v4(Frames.icmp(), addresses: (v4, Frames.b1v4))
    case .portsOverIPv6: Frames.v6(Frames.tcp(to: 1024 + n))
    case .flowLabels:
      Frames.v6(
        Frames.udp(), flowLabel: UInt32(number), extensions: [IPProtocol.udp, 0, 1, 4, 0, 0, 0, 0], next: 0)
    case .addressesOverIPv6: Frames.v6(Frames.icmp(v6: true), addresses: (v6, Frames.b1v6))
    case .fragments: Frames.v4(Frames.udp(), fragment: 0x2000, addresses: (v4, Frames.b1v4))
    }
  }

  static func port(_ fixture: Fixture, _ frame: [UInt8]) throws -> UInt16 {
    try #require(UDPHeader(fixture.port.testRun(frame).data, at: 34)).source
  }

  /// 4096 flows that differ in one small field, over 64 cells: chi-square with 63 degrees of freedom is
  /// over 126 once in some 4 million times for a true spread. The seed is fixed, so is the outcome.
  @Test(arguments: Flows.allCases)
  func spread(_ flows: Flows) throws {
    let ports = try Fixture.run { fixture in
      try fixture.setTunnel(0) {
        $0.source_min = 40000
        $0.source_max = 40063
      }
      return try (0..<4096).map { try Self.port(fixture, Self.frame(flows, $0)) }
    }
    #expect(ports.allSatisfy { (40000...40063).contains($0) })
    var cells = [Double](repeating: 0, count: 64)
    for port in ports where port >= 40000 && port <= 40063 { cells[Int(port) - 40000] += 1 }
    let chiSquare = cells.reduce(0) { $0 + ($1 - 64) * ($1 - 64) / 64 }
    #expect(chiSquare < 126)
    // Too even is no hash either: below 22 once in a million times.
    #expect(chiSquare > 22)
  }

  @Test func wholeRange() throws {
    let ports = try Fixture.run { fixture in
      try fixture.setTunnel(0) {
        $0.source_min = 1
        $0.source_max = 65535
      }
      return try (0..<4096).map { try Self.port(fixture, Self.frame(.ports, $0)) }
    }
    // 4096 draws of 65535 meet some 125 times.
    #expect(Set(ports).count > 3800)
    #expect(ports.allSatisfy { $0 != 0 })
    let one = try Fixture.run { fixture in
      try fixture.setTunnel(0) {
        $0.source_min = 4789
        $0.source_max = 4789
      }
      return try Self.port(fixture, Frames.v4())
    }
    #expect(one == 4789)
  }

  /// What differs between packets of one flow does not move it; all fragments go one way.
  @Test func constantPerFlow() throws {
    let sets = try Fixture.run { fixture in
      let frames: [[[UInt8]]] = [
        (0..<50).map {
          Frames.v4(Frames.udp([UInt8](repeating: UInt8($0), count: $0)), tos: UInt8($0), ttl: UInt8($0 + 1))
        },
        (0..<50).map { Frames.v6(Frames.tcp([UInt8](repeating: 1, count: $0)), trafficClass: UInt8($0)) },
        [
          Frames.v4(Frames.udp(), fragment: 0x2000), Frames.v4(Frames.raw(17, [1, 2, 3, 4, 5]), fragment: 0x2010),
          Frames.v4(Frames.raw(17, [9, 8, 7, 6, 5]), fragment: 0x20),
        ],
      ]
      return try frames.map { try Set($0.map { try Self.port(fixture, $0) }) }
    }
    #expect(sets.map(\.count) == [1, 1, 1])
  }
}
