// SPDX-License-Identifier: Apache-2.0

/// An Ethernet address (IEEE 802 MAC-48).
public struct MACAddress: Hashable, Sendable, Comparable, CustomStringConvertible {
  /// The six octets, first on the wire in the most significant position.
  public var value: UInt64

  public init(value: UInt64) { self.value = value & 0xffff_ffff_ffff }

  /// Six octets in wire order.
  public init?(_ octets: some Collection<UInt8>) {
    guard octets.count == 6 else { return nil }
    self.value = octets.reduce(0) { $0 << 8 | UInt64($1) }
  }

  /// "02:00:5e:00:53:01"
  public init?(_ text: String) {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    let octets = parts.compactMap { $0.count <= 2 ? UInt8($0, radix: 16) : nil }
    guard parts.count == 6, octets.count == 6 else { return nil }
    self.init(octets)
  }

  public static let zero = MACAddress(value: 0)

  public var octets: [UInt8] { (0..<6).map { UInt8(truncatingIfNeeded: value >> (40 - 8 * $0)) } }
  /// Group address: multicast or broadcast.
  public var isMulticast: Bool { value >> 40 & 1 == 1 }
  public var isZero: Bool { value == 0 }

  public var description: String {
    octets.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: ":")
  }
  public static func < (a: Self, b: Self) -> Bool { a.value < b.value }
}

/// An IPv4 address; `value` is in host order.
public struct IPv4Address: Hashable, Sendable, Comparable, CustomStringConvertible {
  public var value: UInt32
  public init(value: UInt32) { self.value = value }

  public init?(_ octets: some Collection<UInt8>) {
    guard octets.count == 4 else { return nil }
    self.value = octets.reduce(0) { $0 << 8 | UInt32($1) }
  }

  public init?(_ text: String) {
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    let octets = parts.compactMap { UInt8($0) }
    guard parts.count == 4, octets.count == 4 else { return nil }
    self.init(octets)
  }

  public static let any = IPv4Address(value: 0)
  public var octets: [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * $0)) } }
  public var isMulticast: Bool { value >> 28 == 0xe }
  /// The four octets as they lie in memory on the wire, for `__be32` fields.
  public var bigEndian: UInt32 { value.bigEndian }
  public var description: String { octets.map(String.init).joined(separator: ".") }
  public static func < (a: Self, b: Self) -> Bool { a.value < b.value }
}

/// An IPv6 address: sixteen octets in wire order.
public struct IPv6Address: Hashable, Sendable {
  public var high: UInt64
  public var low: UInt64

  /// The two halves in host order.
  public init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }

  public init?(_ octets: some Collection<UInt8>) {
    guard octets.count == 16 else { return nil }
    self.high = octets.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
    self.low = octets.suffix(8).reduce(0) { $0 << 8 | UInt64($1) }
  }
  public var octets: [UInt8] {
    (0..<16).map { UInt8(truncatingIfNeeded: ($0 < 8 ? high : low) >> (56 - 8 * ($0 % 8))) }
  }
}

public enum IPAddress: Hashable, Sendable {
  case v4(IPv4Address)
  case v6(IPv6Address)
}

extension IPAddress {
  /// Four or sixteen octets in wire order.
  public var octets: [UInt8] {
    switch self {
    case .v4(let address): address.octets
    case .v6(let address): address.octets
    }
  }
}
