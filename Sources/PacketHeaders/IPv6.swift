// SPDX-License-Identifier: Apache-2.0

/// IPv6's fixed header (RFC 8200).
public struct IPv6Header: WireHeader {
  /// DSCP and ECN.
  public var trafficClass: UInt8
  /// 20 bits (RFC 6437).
  public var flowLabel: UInt32
  /// What follows this header.
  public var payloadLength: UInt16
  public var nextHeader: UInt8
  public var hopLimit: UInt8
  public var source: IPv6Address
  public var destination: IPv6Address

  public static let size = 40

  public init(
    trafficClass: UInt8 = 0, flowLabel: UInt32 = 0, payloadLength: UInt16, nextHeader: UInt8,
    hopLimit: UInt8 = 64, source: IPv6Address, destination: IPv6Address
  ) {
    self.trafficClass = trafficClass
    self.flowLabel = flowLabel & 0xfffff
    self.payloadLength = payloadLength
    self.nextHeader = nextHeader
    self.hopLimit = hopLimit
    self.source = source
    self.destination = destination
  }

  public init?(_ bytes: RawSpan) {
    guard bytes.byteCount >= Self.size else { return nil }
    let first: UInt32 = bytes.field(0)
    guard first >> 28 == 6 else { return nil }
    trafficClass = UInt8(truncatingIfNeeded: first >> 20)
    flowLabel = first & 0xfffff
    payloadLength = bytes.field(4)
    nextHeader = bytes.field(6)
    hopLimit = bytes.field(7)
    source = IPv6Address(high: bytes.field(8), low: bytes.field(16))
    destination = IPv6Address(high: bytes.field(24), low: bytes.field(32))
  }

  @_lifetime(packet: copy packet)
  public func write(to packet: inout MutableRawSpan, at offset: Int) {
    packet.set(offset, 6 << 28 | UInt32(trafficClass) << 20 | flowLabel)
    packet.set(offset + 4, payloadLength)
    packet.set(offset + 6, nextHeader)
    packet.set(offset + 7, hopLimit)
    packet.set(offset + 8, source.high)
    packet.set(offset + 16, source.low)
    packet.set(offset + 24, destination.high)
    packet.set(offset + 32, destination.low)
  }
}
