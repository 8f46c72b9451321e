// SPDX-License-Identifier: Apache-2.0

/// Internet checksums (RFC 1071) as sums of words in memory order, folded once at the end.
enum Checksum {
  @inline(__always)
  static func fold(_ sum: UInt64) -> UInt16 {
    let word = (sum & 0xffff_ffff) &+ (sum >> 32)
    let half = (word & 0xffff) &+ (word >> 16)
    let once = (half & 0xffff) &+ (half >> 16)
    return UInt16(truncatingIfNeeded: (once & 0xffff) &+ (once >> 16))
  }

  /// Below 2^33; the halves of each word are summed apart, which vectorises and loses no carry.
  @inline(__always)
  static func sum(_ bytes: UnsafeMutableRawPointer, _ count: Int) -> UInt64 {
    var low: UInt64 = 0
    var high: UInt64 = 0
    var at = 0
    while at &+ 32 <= count {
      for step in 0..<4 {
        let word = bytes.u64(at &+ 8 &* step)
        low &+= word & 0xffff_ffff
        high &+= word >> 32
      }
      at &+= 32
    }
    while at &+ 4 <= count {
      low &+= UInt64(bytes.u32(at))
      at &+= 4
    }
    if at &+ 2 <= count {
      low &+= UInt64(bytes.u16(at))
      at &+= 2
    }
    // An odd byte counts as if a zero followed.
    if at < count { low &+= UInt64((UInt16(bytes.u8(at)) << 8).bigEndian) }
    let total = low &+ high
    return (total & 0xffff_ffff) &+ (total >> 32)
  }

  @inline(__always)
  static func ipv4Header(_ ip: UnsafeMutableRawPointer) -> UInt64 {
    UInt64(ip.u32(0)) &+ UInt64(ip.u32(4)) &+ UInt64(ip.u32(8)) &+ UInt64(ip.u32(12)) &+ UInt64(ip.u32(16))
  }
}
