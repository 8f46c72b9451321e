// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import PacketHeaders

/// One attribute of a netlink message: `payload` lies inside the message's buffer
/// and is valid no longer than that.
struct Attribute {
  /// Without NLA_F_NESTED and NLA_F_NET_BYTEORDER.
  let type: Int
  let payload: UnsafeRawBufferPointer

  func integer<T: FixedWidthInteger & BitwiseCopyable>(_: T.Type = T.self) throws(Failure) -> T {
    try payload.read(T.self, at: 0)
  }

  func bigEndian<T: FixedWidthInteger & BitwiseCopyable>(_: T.Type = T.self) throws(Failure) -> T {
    T(bigEndian: try payload.read(T.self, at: 0))
  }

  func flag() throws(Failure) -> Bool { try integer(UInt8.self) != 0 }

  /// Up to the first NUL or the payload's end.
  var string: String { String(decoding: payload.prefix { $0 != 0 }, as: UTF8.self) }

  func mac() throws(Failure) -> MACAddress {
    guard let mac = MACAddress(payload) else { throw .malformed("link-layer address") }
    return mac
  }

  func ipv4() throws(Failure) -> IPv4Address {
    guard let address = IPv4Address(payload) else { throw .malformed("IPv4 address") }
    return address
  }

  /// Four octets are IPv4, sixteen IPv6.
  func address() throws(Failure) -> IPAddress {
    switch payload.count {
    case 4: return .v4(IPv4Address(value: UInt32(bigEndian: try payload.read(UInt32.self, at: 0))))
    case 16:
      let (high, low) = (try payload.read(UInt64.self, at: 0), try payload.read(UInt64.self, at: 8))
      return .v6(IPv6Address(high: UInt64(bigEndian: high), low: UInt64(bigEndian: low)))
    default: throw .malformed("address")
    }
  }

  var nested: Attributes { Attributes(payload) }
}

/// The attributes in a stretch of bytes (linux/netlink.h, struct nlattr). Every
/// length is checked; what does not fit is an error.
struct Attributes {
  private let bytes: UnsafeRawBufferPointer
  private var offset = 0

  init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  mutating func next() throws(Failure) -> Attribute? {
    let left = bytes.count - offset
    // The kernel pads to four bytes; fewer than a header's are padding.
    guard left >= 4 else { return nil }
    let length = Int(try bytes.read(UInt16.self, at: offset))
    let type = Int(try bytes.read(UInt16.self, at: offset + 2) & 0x3fff)
    guard length >= 4, length <= left else { throw .malformed("attribute \(type) of length \(length)") }
    let payload = UnsafeRawBufferPointer(rebasing: bytes[offset + 4..<offset + length])
    offset += min(left, aligned(length))
    return Attribute(type: type, payload: payload)
  }

  func forEach(_ body: (Attribute) throws(Failure) -> Void) throws(Failure) {
    var rest = self
    while let attribute = try rest.next() { try body(attribute) }
  }
}

/// NLMSG_ALIGN, NLA_ALIGN.
func aligned(_ length: Int) -> Int { (length + 3) & ~3 }

extension UnsafeRawBufferPointer {
  func read<T: BitwiseCopyable>(_: T.Type = T.self, at offset: Int) throws(Failure) -> T {
    guard offset >= 0, offset <= count, MemoryLayout<T>.size <= count - offset else {
      throw .malformed("\(count) bytes where \(T.self) was expected at \(offset)")
    }
    return loadUnaligned(fromByteOffset: offset, as: T.self)
  }

  func attributes(after offset: Int) throws(Failure) -> Attributes {
    guard offset <= count else { throw .malformed("message of \(count) bytes") }
    return Attributes(UnsafeRawBufferPointer(rebasing: self[offset...]))
  }
}

extension Failure {
  static func malformed(_ what: String) -> Failure {
    Failure("parse netlink message with", what, errno: .badMessage)
  }
}
