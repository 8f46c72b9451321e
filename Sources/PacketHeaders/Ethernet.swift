// SPDX-License-Identifier: Apache-2.0

/// Ethernet II (IEEE 802.3), without a VLAN tag.
public struct EthernetHeader: WireHeader {
  public var destination: MACAddress
  public var source: MACAddress
  public var type: UInt16

  public static let size = 14
  public static let ipv4: UInt16 = 0x0800
  public static let arp: UInt16 = 0x0806
  public static let vlan: UInt16 = 0x8100
  public static let ipv6: UInt16 = 0x86dd

  public init(destination: MACAddress, source: MACAddress, type: UInt16) {
    self.destination = destination
    self.source = source
    self.type = type
  }

  @inlinable
  public init?(_ bytes: RawSpan) {
    guard bytes.byteCount >= Self.size else { return nil }
    destination = bytes.mac(0)
    source = bytes.mac(6)
    type = bytes.field(12)
  }

  @inlinable
  @_lifetime(packet: copy packet)
  public func write(to packet: inout MutableRawSpan, at offset: Int) {
    packet.set(offset, destination)
    packet.set(offset + 6, source)
    packet.set(offset + 12, type)
  }
}
