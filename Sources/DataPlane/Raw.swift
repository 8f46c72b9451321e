// SPDX-License-Identifier: Apache-2.0

/// Fields of a packet, at any alignment, as they lie in memory (network order is the reader's business).
extension UnsafeMutableRawPointer {
  @inline(__always)
  func u8(_ offset: Int) -> UInt8 { load(fromByteOffset: offset, as: UInt8.self) }
  @inline(__always)
  func u16(_ offset: Int) -> UInt16 { loadUnaligned(fromByteOffset: offset, as: UInt16.self) }
  @inline(__always)
  func u32(_ offset: Int) -> UInt32 { loadUnaligned(fromByteOffset: offset, as: UInt32.self) }
  @inline(__always)
  func u64(_ offset: Int) -> UInt64 { loadUnaligned(fromByteOffset: offset, as: UInt64.self) }
  @inline(__always)
  func put<Value: BitwiseCopyable>(_ offset: Int, _ value: Value) {
    storeBytes(of: value, toByteOffset: offset, as: Value.self)
  }
}

/// Where headers and their fields lie. What is not a literal is computed: a stored global would be initialised
/// behind a check at each use.
enum Layout {
  static let ethernet = 14
  static let etherType = 12
  static let ipv4 = 20
  static let ipv6 = 40
  static let udp = 8
  /// In an encapsulated frame.
  static let outerIP = 14
  static let outerUDP = 34
  static let outerVXLAN = 42
  static let outer = 50

  @inline(__always) static var typeIPv4: UInt16 { UInt16(0x0800).bigEndian }
  @inline(__always) static var typeIPv6: UInt16 { UInt16(0x86dd).bigEndian }
  @inline(__always) static var moreOrOffset: UInt16 { UInt16(0x3fff).bigEndian }
  @inline(__always) static var dontFragment: UInt16 { UInt16(0x4000).bigEndian }
}

enum IPProtocol {
  static let icmp: UInt8 = 1
  static let tcp: UInt8 = 6
  static let udp: UInt8 = 17
  static let icmp6: UInt8 = 58
  static let sctp: UInt8 = 132
}
