// SPDX-License-Identifier: Apache-2.0

/// The container's frame: where its headers are and what the tunnel needs to know of them. The program that
/// handed it over has checked that the headers are there.
struct InnerFrame {
  /// Its Ethernet header.
  let frame: UnsafeMutableRawPointer
  let bytes: Int
  let isIPv4: Bool
  let protocolNumber: UInt8
  /// Or traffic class.
  let tos: UInt8
  /// Or hop limit.
  let ttl: UInt8
  /// IPv4's, network order.
  let fragment: UInt16
  /// From the frame's start to what follows the IP header.
  let l4: Int
  /// Bytes from there to the IP packet's end, as the IP header says; at most what is in the frame.
  let l4Bytes: Int

  @inline(__always)
  init(_ frame: UnsafeMutableRawPointer, bytes: Int) {
    self.frame = frame
    self.bytes = bytes
    let ip = frame + Layout.ethernet
    let claimed: Int
    if frame.u16(Layout.etherType) == Layout.typeIPv4 {
      let first = ip.u8(0)
      isIPv4 = true
      tos = ip.u8(1)
      claimed = Int(UInt16(bigEndian: ip.u16(2)))
      fragment = ip.u16(6)
      ttl = ip.u8(8)
      protocolNumber = ip.u8(9)
      l4 = Layout.ethernet &+ Int(first & 0xf) &* 4
    } else {
      isIPv4 = false
      tos = UInt8(truncatingIfNeeded: UInt16(bigEndian: ip.u16(0)) >> 4)
      claimed = Layout.ipv6 &+ Int(UInt16(bigEndian: ip.u16(4)))
      protocolNumber = ip.u8(6)
      ttl = ip.u8(7)
      fragment = 0
      l4 = Layout.ethernet &+ Layout.ipv6
    }
    l4Bytes = max(0, min(Layout.ethernet &+ claimed, bytes) &- l4)
  }

  @inline(__always) var ip: UnsafeMutableRawPointer { frame + Layout.ethernet }
  @inline(__always) var isFragment: Bool { fragment & Layout.moreOrOffset != 0 }

  /// The sum over TCP's and UDP's pseudo-header (RFC 9293 section 3.1, RFC 768, RFC 8200 section 8.1).
  @inline(__always)
  var pseudoHeader: UInt64 {
    var sum =
      UInt64(UInt32(protocolNumber).bigEndian) &+ UInt64(UInt32(truncatingIfNeeded: l4Bytes).bigEndian)
    if isIPv4 {
      sum &+= UInt64(ip.u32(12)) &+ UInt64(ip.u32(16))
    } else {
      for word in 0..<8 { sum &+= UInt64(ip.u32(8 &+ 4 &* word)) }
    }
    return sum
  }

  /// Completes a checksum that the sender left to its device: such a field holds the pseudo-header's sum. Only for
  /// frames of senders that do so, since a wrong one that happens to look like it would become right.
  @inline(__always)
  func completeChecksum() {
    let field: Int
    switch protocolNumber {
    case IPProtocol.tcp where l4Bytes >= 20: field = l4 &+ 16
    case IPProtocol.udp where l4Bytes >= Layout.udp: field = l4 &+ 6
    default: return
    }
    if isFragment || frame.u16(field) != Checksum.fold(pseudoHeader) { return }
    let sum = ~Checksum.fold(Checksum.sum(frame + l4, l4Bytes))
    // RFC 768: zero says "none".
    frame.put(field, sum == 0 && protocolNumber == IPProtocol.udp ? 0xffff : sum)
  }

  /// Constant per flow. Fragments carry ports only in the first: addresses alone count for all.
  @inline(__always)
  func flowHash(seed: UInt64) -> UInt32 {
    var last = UInt64(protocolNumber)
    var state = seed
    let hasPorts =
      (protocolNumber == IPProtocol.udp || protocolNumber == IPProtocol.tcp
        || protocolNumber == IPProtocol.sctp) && !isFragment && l4Bytes >= 4
    if hasPorts { last |= UInt64(frame.u32(l4)) << 32 }
    if isIPv4 {
      state = Self.mix(state, ip.u64(12))
    } else {
      // Extension headers, or none: the flow label (RFC 6437).
      if !hasPorts { last |= UInt64(ip.u32(0) & UInt32(0xfffff).bigEndian) << 32 }
      for word in 0..<4 { state = Self.mix(state, ip.u64(8 &+ 8 &* word)) }
    }
    return UInt32(truncatingIfNeeded: Self.mix(Self.mix(state, last), last) >> 32)
  }

  @inline(__always)
  private static func mix(_ state: UInt64, _ word: UInt64) -> UInt64 {
    let mixed = (state ^ word) &* 0x9e37_79b9_7f4a_7c15
    return mixed ^ (mixed >> 32)
  }
}
