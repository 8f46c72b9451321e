// SPDX-License-Identifier: Apache-2.0

/// Ethernet frames as a container would send them, with complete checksums: built
/// here a second time, so that the tests do not believe what they check.
public struct TestPacket: Sendable {
  public enum Kind: String, CaseIterable, Sendable { case udp4, tcp4, icmp4, udp6, tcp6, icmp6 }
  public var kind: Kind
  public var destination: [UInt8]
  public var source: [UInt8]
  /// Traffic class: DSCP and ECN.
  public var trafficClass: UInt8 = 0
  public var ttl: UInt8 = 64
  public var dontFragment = true
  public var sourcePort: UInt16 = 4000
  /// Of IPv4.
  public var identification: UInt16 = 0x1234
  /// Of TCP.
  public var sequence: UInt32 = 1
  public var payload: [UInt8] = Array("culvert carries a stream under a road".utf8)
  public var sourceAddress: [UInt8]
  public var destinationAddress: [UInt8]

  /// Between 198.19.0.`from` and 198.19.0.`to`, or 2001:2::`from` and 2001:2::`to`.
  public init(_ kind: Kind, from: UInt8, source: [UInt8], to: UInt8, destination: [UInt8]) {
    self.kind = kind
    self.source = source
    self.destination = destination
    if Self.isIPv6(kind) {
      sourceAddress = [0x20, 1, 0, 2] + [UInt8](repeating: 0, count: 11) + [from]
      destinationAddress = [0x20, 1, 0, 2] + [UInt8](repeating: 0, count: 11) + [to]
    } else {
      sourceAddress = [198, 19, 0, from]
      destinationAddress = [198, 19, 0, to]
    }
  }

  private static func isIPv6(_ kind: Kind) -> Bool { [.udp6, .tcp6, .icmp6].contains(kind) }

  public var bytes: [UInt8] {
    let isIPv6 = Self.isIPv6(kind)
    var segment: [UInt8]
    let number: UInt8
    let checksumAt: Int
    switch kind {
    case .udp4, .udp6:
      number = 17
      checksumAt = 6
      segment = be(sourcePort) + be(5001) + be(UInt16(8 + payload.count)) + [0, 0] + payload
    case .tcp4, .tcp6:
      number = 6
      checksumAt = 16
      segment =
        be(sourcePort) + be(5001) + be(UInt16(sequence >> 16)) + be(UInt16(truncatingIfNeeded: sequence)) + [
          0, 0, 0, 2, 0x50, 0x10, 0x20, 0, 0, 0, 0, 0,
        ] + payload
    case .icmp4, .icmp6:
      number = isIPv6 ? 58 : 1
      checksumAt = 2
      segment = [isIPv6 ? 128 : 8, 0, 0, 0] + be(sourcePort) + [0, 1] + payload
    }
    let pseudo =
      kind == .icmp4
      ? [] : sourceAddress + destinationAddress + [0, 0] + be(UInt16(segment.count)) + [0, number]
    let sum = internetChecksum(pseudo + segment)
    segment.replaceSubrange(checksumAt..<checksumAt + 2, with: be(sum == 0 && number == 17 ? 0xffff : sum))
    var header: [UInt8]
    if isIPv6 {
      header =
        [0x60 | trafficClass >> 4, trafficClass << 4, 0, 0] + be(UInt16(segment.count)) + [number, ttl]
      header += sourceAddress + destinationAddress
    } else {
      header =
        [0x45, trafficClass] + be(UInt16(20 + segment.count)) + be(identification) + [
          dontFragment ? 0x40 : 0, 0,
        ]
      header += [ttl, number, 0, 0] + sourceAddress + destinationAddress
      header.replaceSubrange(10..<12, with: be(internetChecksum(header)))
    }
    return destination + source + (isIPv6 ? [0x86, 0xdd] : [8, 0]) + header + segment
  }
}

public func be(_ value: UInt16) -> [UInt8] { [UInt8(value >> 8), UInt8(value & 0xff)] }

/// RFC 1071 over big-endian 16-bit words.
public func internetChecksum(_ bytes: [UInt8]) -> UInt16 {
  var sum: UInt32 = 0
  for index in stride(from: 0, to: bytes.count, by: 2) {
    sum += UInt32(bytes[index]) << 8 | (index + 1 < bytes.count ? UInt32(bytes[index + 1]) : 0)
  }
  while sum >> 16 != 0 { sum = (sum & 0xffff) + (sum >> 16) }
  return ~UInt16(sum)
}
