// SPDX-License-Identifier: Apache-2.0

/// IPv4 without options (RFC 791).
public struct IPv4Header: WireHeader {
  /// DSCP and ECN (RFC 2474, RFC 3168).
  public var tos: UInt8
  /// Header and payload.
  public var totalLength: UInt16
  public var identification: UInt16
  /// Flags in the upper three bits, offset in units of 8 bytes below.
  public var fragment: UInt16
  public var ttl: UInt8
  public var `protocol`: UInt8
  /// As received; `write` computes its own.
  public private(set) var checksum: UInt16
  public var source: IPv4Address
  public var destination: IPv4Address

  public static let size = 20
  public static let dontFragment: UInt16 = 0x4000
  public static let moreFragments: UInt16 = 0x2000

  public init(
    tos: UInt8 = 0, totalLength: UInt16, identification: UInt16 = 0, fragment: UInt16 = 0,
    ttl: UInt8 = 64, protocol number: UInt8, source: IPv4Address, destination: IPv4Address
  ) {
    self.tos = tos
    self.totalLength = totalLength
    self.identification = identification
    self.fragment = fragment
    self.ttl = ttl
    self.protocol = number
    self.source = source
    self.destination = destination
    self.checksum = 0
    self.checksum = computedChecksum
  }

  /// Nil also for options and for another version.
  public init?(_ bytes: RawSpan) {
    guard bytes.byteCount >= Self.size, bytes.field(0, as: UInt8.self) == 0x45 else { return nil }
    tos = bytes.field(1)
    totalLength = bytes.field(2)
    identification = bytes.field(4)
    fragment = bytes.field(6)
    ttl = bytes.field(8)
    `protocol` = bytes.field(9)
    checksum = bytes.field(10)
    source = IPv4Address(value: bytes.field(12))
    destination = IPv4Address(value: bytes.field(16))
  }

  /// A fragment that is not the whole datagram.
  public var isFragment: Bool { fragment & 0x3fff != 0 }
  public var hasValidChecksum: Bool { checksum == computedChecksum }

  public var computedChecksum: UInt16 {
    var sum = InternetChecksum()
    sum.add(0x4500 | UInt16(tos))
    sum.add(totalLength)
    sum.add(identification)
    sum.add(fragment)
    sum.add(UInt16(ttl) << 8 | UInt16(`protocol`))
    sum.add(source.value)
    sum.add(destination.value)
    return sum.complement
  }

  @_lifetime(packet: copy packet)
  public func write(to packet: inout MutableRawSpan, at offset: Int) {
    packet.set(offset, 0x4500 | UInt16(tos))
    packet.set(offset + 2, totalLength)
    packet.set(offset + 4, identification)
    packet.set(offset + 6, fragment)
    packet.set(offset + 8, ttl)
    packet.set(offset + 9, `protocol`)
    packet.set(offset + 10, computedChecksum)
    packet.set(offset + 12, source.value)
    packet.set(offset + 16, destination.value)
  }
}

/// Protocol numbers (IANA).
public enum IPProtocol {
  public static let icmp: UInt8 = 1
  public static let tcp: UInt8 = 6
  public static let udp: UInt8 = 17
  public static let icmpv6: UInt8 = 58
  public static let sctp: UInt8 = 132
}
