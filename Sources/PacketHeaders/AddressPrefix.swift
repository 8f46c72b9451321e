// SPDX-License-Identifier: Apache-2.0

/// The addresses that share their first `length` bits (RFC 4632, RFC 4291).
public struct AddressPrefix: Hashable, Sendable {
  public let address: IPAddress
  /// 0...32 or 0...128.
  public let length: Int

  /// Bits of `address` beyond the prefix do not matter and are cleared; nil where `length` is out of range.
  public init?(_ address: IPAddress, length: Int) {
    guard (0...address.octets.count * 8).contains(length) else { return nil }
    self.length = length
    let kept = zip(address.octets, Self.mask(length, octets: address.octets.count)).map { $0 & $1 }
    switch address {
    case .v4: self.address = .v4(IPv4Address(kept)!)
    case .v6: self.address = .v6(IPv6Address(kept)!)
    }
  }

  public func contains(_ other: IPAddress) -> Bool {
    switch (address, other) {
    case (.v4(let own), .v4(let other)):
      // A shift by all 32 bits leaves 0, as it must.
      return own.value >> (32 - length) == other.value >> (32 - length)
    case (.v6(let own), .v6(let other)):
      let high = own.high ^ other.high
      let low = own.low ^ other.low
      return high >> (64 - min(64, length)) == 0 && low >> (64 - max(0, length - 64)) == 0
    default: return false
    }
  }

  /// The mask in wire order.
  public var mask: [UInt8] { Self.mask(length, octets: address.octets.count) }

  private static func mask(_ length: Int, octets: Int) -> [UInt8] {
    (0..<octets).map { UInt8(truncatingIfNeeded: 0xff00 >> max(0, min(8, length - 8 * $0))) }
  }
}
