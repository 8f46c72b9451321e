// SPDX-License-Identifier: Apache-2.0

/// The Internet checksum (RFC 1071): a running ones' complement sum over bytes in wire order.
/// Parts may be added in any order; each but the last must have an even length, or be
/// added as one.
public struct InternetChecksum: Sendable {
  /// Sum of 32-bit words in memory order; folding at the end makes the order of bytes immaterial
  /// (RFC 1071 section 2(B)).
  @usableFromInline var sum: UInt64 = 0

  @inlinable public init() {}

  /// Adds bytes; an odd one at the end counts as if a zero followed. Reads 32 bytes per step.
  @inlinable
  public mutating func add(_ bytes: RawSpan) {
    var low: UInt64 = 0
    var high: UInt64 = 0
    var at = 0
    let count = bytes.byteCount
    // The halves of a word are summed apart, so that no carry is lost within 2^32 words.
    while at &+ 32 <= count {
      for step in 0..<4 {
        let word = bytes.unsafeLoadUnaligned(fromByteOffset: at &+ 8 &* step, as: UInt64.self)
        low &+= word & 0xffff_ffff
        high &+= word >> 32
      }
      at &+= 32
    }
    while at &+ 4 <= count {
      low &+= UInt64(bytes.unsafeLoadUnaligned(fromByteOffset: at, as: UInt32.self))
      at &+= 4
    }
    if at &+ 2 <= count {
      low &+= UInt64(bytes.unsafeLoadUnaligned(fromByteOffset: at, as: UInt16.self))
      at &+= 2
    }
    if at < count {
      let last = bytes.unsafeLoadUnaligned(fromByteOffset: at, as: UInt8.self)
      low &+= UInt64((UInt16(last) << 8).bigEndian)
    }
    sum = Self.carry(sum) &+ Self.carry(low) &+ Self.carry(high)
  }

  /// Adds a field of two bytes; `value` in host order.
  @inlinable public mutating func add(_ value: UInt16) { sum &+= UInt64(value.bigEndian) }
  /// Adds a field of four bytes; `value` in host order.
  @inlinable public mutating func add(_ value: UInt32) { sum &+= UInt64(value.bigEndian) }
  @inlinable public mutating func add(_ other: InternetChecksum) {
    sum = Self.carry(sum) &+ Self.carry(other.sum)
  }

  /// The sum in host order: 0xffff over data that contains its own correct checksum.
  @inlinable public var folded: UInt16 {
    let once = Self.carry(sum)
    let word = UInt32(truncatingIfNeeded: (once & 0xffff_ffff) &+ (once >> 32))
    let half = (word & 0xffff) &+ (word >> 16)
    return UInt16(truncatingIfNeeded: (half & 0xffff) &+ (half >> 16)).bigEndian
  }

  /// What a checksum field takes (host order).
  @inlinable public var complement: UInt16 { ~folded }

  /// Below 2^33.
  @inlinable static func carry(_ sum: UInt64) -> UInt64 { (sum & 0xffff_ffff) &+ (sum >> 32) }

  /// The pseudo-header of TCP and UDP over IPv4 (RFC 9293 section 3.1, RFC 768).
  public static func pseudoHeader(
    source: IPv4Address, destination: IPv4Address, protocol number: UInt8, length: Int
  ) -> InternetChecksum {
    var checksum = InternetChecksum()
    checksum.add(source.value)
    checksum.add(destination.value)
    checksum.add(UInt32(number))
    checksum.add(UInt32(length))
    return checksum
  }

  /// The pseudo-header over IPv6 (RFC 8200 section 8.1).
  public static func pseudoHeader(
    source: IPv6Address, destination: IPv6Address, protocol number: UInt8, length: Int
  ) -> InternetChecksum {
    var checksum = InternetChecksum()
    for address in [source, destination] {
      for half in [address.high, address.low] {
        checksum.add(UInt32(half >> 32))
        checksum.add(UInt32(truncatingIfNeeded: half))
      }
    }
    checksum.add(UInt32(number))
    checksum.add(UInt32(length))
    return checksum
  }
}
