// SPDX-License-Identifier: Apache-2.0

/// UDP (RFC 768).
public struct UDPHeader: WireHeader {
  public var source: UInt16
  public var destination: UInt16
  /// Header and payload.
  public var length: UInt16
  /// 0: none.
  public var checksum: UInt16

  public static let size = 8

  public init(source: UInt16, destination: UInt16, length: UInt16, checksum: UInt16 = 0) {
    self.source = source
    self.destination = destination
    self.length = length
    self.checksum = checksum
  }

  @inlinable
  public init?(_ bytes: RawSpan) {
    guard bytes.byteCount >= Self.size else { return nil }
    source = bytes.field(0)
    destination = bytes.field(2)
    length = bytes.field(4)
    checksum = bytes.field(6)
  }

  @inlinable
  @_lifetime(packet: copy packet)
  public func write(to packet: inout MutableRawSpan, at offset: Int) {
    packet.set(offset, source)
    packet.set(offset + 2, destination)
    packet.set(offset + 4, length)
    packet.set(offset + 6, checksum)
  }
}
