// SPDX-License-Identifier: Apache-2.0

/// VXLAN (RFC 7348 section 5).
public struct VXLANHeader: WireHeader {
  /// The first word: 0x08000000 says that the VNI is valid; all else is reserved.
  public var flags: UInt32
  /// 24 bits.
  public var vni: UInt32
  /// Eight reserved bits behind the VNI.
  public var reserved: UInt8

  public static let size = 8
  public static let validVNI: UInt32 = 0x0800_0000
  /// The port of the Internet's registry.
  public static let port: UInt16 = 4789

  public init(vni: UInt32, flags: UInt32 = VXLANHeader.validVNI, reserved: UInt8 = 0) {
    self.vni = vni & 0xff_ffff
    self.flags = flags
    self.reserved = reserved
  }

  @inlinable
  public init?(_ bytes: RawSpan) {
    guard bytes.byteCount >= Self.size else { return nil }
    flags = bytes.field(0)
    let second: UInt32 = bytes.field(4)
    vni = second >> 8
    reserved = UInt8(truncatingIfNeeded: second)
  }

  @inlinable
  @_lifetime(packet: copy packet)
  public func write(to packet: inout MutableRawSpan, at offset: Int) {
    packet.set(offset, flags)
    packet.set(offset + 4, vni << 8 | UInt32(reserved))
  }
}
