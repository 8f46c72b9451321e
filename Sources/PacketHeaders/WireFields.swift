// SPDX-License-Identifier: Apache-2.0

extension RawSpan {
  /// An integer in network order at `offset`, which must be inside.
  @inlinable
  func field<T: FixedWidthInteger & BitwiseCopyable>(_ offset: Int, as: T.Type = T.self) -> T {
    T(bigEndian: unsafeLoadUnaligned(fromByteOffset: offset, as: T.self))
  }

  @inlinable
  func mac(_ offset: Int) -> MACAddress {
    MACAddress(
      value: UInt64(field(offset, as: UInt16.self)) << 32 | UInt64(field(offset + 2, as: UInt32.self)))
  }
}

extension MutableRawSpan {
  /// Writes an integer in network order at `offset`, which must be inside.
  @inlinable
  @_lifetime(self: copy self)
  mutating func set<T: FixedWidthInteger & BitwiseCopyable>(_ offset: Int, _ value: T) {
    storeBytes(of: value.bigEndian, toByteOffset: offset, as: T.self)
  }

  @inlinable
  @_lifetime(self: copy self)
  mutating func set(_ offset: Int, _ mac: MACAddress) {
    set(offset, UInt16(truncatingIfNeeded: mac.value >> 32))
    set(offset + 2, UInt32(truncatingIfNeeded: mac.value))
  }
}

/// A header of fixed size that can be read from and written to a packet.
public protocol WireHeader: Hashable, Sendable {
  /// Bytes on the wire.
  static var size: Int { get }
  /// Reads a header at the start of `bytes`; nil when it is cut short or not one.
  init?(_ bytes: RawSpan)
  /// Writes `size` bytes at `offset`, which must be inside.
  @_lifetime(packet: copy packet)
  func write(to packet: inout MutableRawSpan, at offset: Int)
}

extension WireHeader {
  /// Reads a header at `offset`.
  public init?(_ packet: [UInt8], at offset: Int = 0) {
    guard offset <= packet.count else { return nil }
    self.init(packet.span.bytes.extracting(droppingFirst: offset))
  }

  public var bytes: [UInt8] {
    var bytes = [UInt8](repeating: 0, count: Self.size)
    var span = bytes.mutableSpan
    var raw = span.mutableBytes
    write(to: &raw, at: 0)
    return bytes
  }
}
