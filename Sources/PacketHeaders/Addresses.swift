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
public struct IPv6Address: Hashable, Sendable, CustomStringConvertible {
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

  /// RFC 4291 section 2.2, without embedded IPv4: "2001:2::1".
  public init?(_ text: String) {
    func groups(_ part: Substring) -> [UInt16]? {
      if part.isEmpty { return [] }
      let words = part.split(separator: ":", omittingEmptySubsequences: false)
      let values = words.compactMap { (1...4).contains($0.count) && $0.allSatisfy(\.isHexDigit) ? UInt16($0, radix: 16) : nil }
      return values.count == words.count ? values : nil
    }
    var all: [UInt16]
    if let gap = zip(text.indices, text.indices.dropFirst()).first(where: { text[$0] == ":" && text[$1] == ":" }) {
      guard let before = groups(text[..<gap.0]), let after = groups(text[gap.1...].dropFirst()),
        before.count + after.count < 8
      else { return nil }
      all = before + Array(repeating: 0, count: 8 - before.count - after.count) + after
    } else {
      guard let words = groups(text[...]), words.count == 8 else { return nil }
      all = words
    }
    high = all.prefix(4).reduce(0) { $0 << 16 | UInt64($1) }
    low = all.suffix(4).reduce(0) { $0 << 16 | UInt64($1) }
  }

  public static let any = IPv6Address(high: 0, low: 0)
  public var isMulticast: Bool { high >> 56 == 0xff }
  /// fe80::/10: means something only together with an interface.
  public var isLinkLocal: Bool { high >> 54 == 0xfe80 >> 6 }

  /// RFC 5952: the longest run of zero groups, of two or more, is left out.
  public var description: String {
    let groups = (0..<8).map { UInt16(truncatingIfNeeded: ($0 < 4 ? high : low) >> (48 - 16 * ($0 % 4))) }
    var longest = 0..<0
    var start = 0
    for (index, group) in groups.enumerated() {
      if group != 0 { start = index + 1 } else if index + 1 - start > longest.count { longest = start..<index + 1 }
    }
    func text(_ part: ArraySlice<UInt16>) -> String { part.map { String($0, radix: 16) }.joined(separator: ":") }
    guard longest.count > 1 else { return text(groups[...]) }
    return text(groups[..<longest.lowerBound]) + "::" + text(groups[longest.upperBound...])
  }
}

public enum IPAddress: Hashable, Sendable {
  case v4(IPv4Address)
  case v6(IPv6Address)
}

extension IPAddress: Comparable, CustomStringConvertible {
  /// IPv4 first.
  public static func < (a: Self, b: Self) -> Bool {
    a.bits == b.bits ? a.octets.lexicographicallyPrecedes(b.octets) : a.bits < b.bits
  }

  public init?(_ text: String) {
    if let address = IPv4Address(text) {
      self = .v4(address)
    } else if let address = IPv6Address(text) {
      self = .v6(address)
    } else {
      return nil
    }
  }

  public var isIPv6: Bool { if case .v6 = self { true } else { false } }
  /// Length in bits.
  public var bits: UInt8 { isIPv6 ? 128 : 32 }

  public var isAny: Bool {
    switch self {
    case .v4(let address): address == .any
    case .v6(let address): address == .any
    }
  }

  public var isMulticast: Bool {
    switch self {
    case .v4(let address): address.isMulticast
    case .v6(let address): address.isMulticast
    }
  }

  /// fe80::/10: means something only together with an interface.
  public var isLinkLocal: Bool {
    if case .v6(let address) = self { address.isLinkLocal } else { false }
  }

  /// Its first `prefix` bits; the others 0.
  public func network(_ prefix: UInt8) -> IPAddress {
    switch self {
    case .v4(let address):
      return .v4(IPv4Address(value: prefix == 0 ? 0 : address.value & (.max << (32 - UInt32(min(prefix, 32))))))
    case .v6(let address):
      // A shift by the whole width or more gives 0.
      let length = Int(min(prefix, 128))
      return .v6(
        IPv6Address(high: address.high & (.max << max(0, 64 - length)), low: address.low & (.max << (128 - max(length, 64)))))
    }
  }

  public var description: String {
    switch self {
    case .v4(let address): address.description
    case .v6(let address): address.description
    }
  }

  /// Four or sixteen octets in wire order.
  public var octets: [UInt8] {
    switch self {
    case .v4(let address): address.octets
    case .v6(let address): address.octets
    }
  }
}
