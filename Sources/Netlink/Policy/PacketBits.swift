// SPDX-License-Identifier: Apache-2.0
import PacketHeaders

/// Whether something holds for all packets that are meant, for none, or for some.
public enum Certainty: Sendable, Hashable {
  case never, sometimes, always

  var inverted: Certainty {
    switch self {
    case .never: .always
    case .sometimes: .sometimes
    case .always: .never
    }
  }

  /// Both hold.
  func and(_ other: Certainty) -> Certainty {
    if self == .never || other == .never { return .never }
    return self == .always && other == .always ? .always : .sometimes
  }

  /// One of them holds.
  func or(_ other: Certainty) -> Certainty { inverted.and(other.inverted).inverted }

  init(_ holds: Bool) { self = holds ? .always : .never }
}

/// Bytes of which only some bits are known: those that are the same in every packet that is meant.
public struct PacketBits: Sendable, Hashable {
  private(set) var value: [UInt8]
  /// A bit is 1 where `value` has it right.
  private(set) var known: [UInt8]

  init(unknown count: Int) {
    value = Array(repeating: 0, count: count)
    known = value
  }

  init(_ bytes: [UInt8]) {
    value = bytes
    known = Array(repeating: 0xff, count: bytes.count)
  }

  /// What all of these, of one length, have in common; all unknown where there are none.
  init(common all: [[UInt8]], count: Int) {
    guard let first = all.first, first.count == count else {
      self.init(unknown: count)
      return
    }
    self.init(first)
    for bytes in all.dropFirst() {
      for place in 0..<count { known[place] &= ~(bytes[place] ^ first[place]) }
    }
    for place in 0..<count { value[place] &= known[place] }
  }

  var count: Int { value.count }

  /// What packets of either kind have in common.
  func common(with other: PacketBits) -> PacketBits {
    var common = self
    for place in 0..<count {
      common.known[place] &= other.known[place] & ~(value[place] ^ other.value[place])
      common.value[place] &= common.known[place]
    }
    return common
  }

  mutating func set(_ bits: PacketBits, at offset: Int) {
    for place in 0..<bits.count where offset + place < count {
      value[offset + place] = bits.value[place]
      known[offset + place] = bits.known[place]
    }
  }

  mutating func set(_ bytes: [UInt8], at offset: Int) { set(PacketBits(bytes), at: offset) }

  /// One bit of a byte.
  mutating func setBit(_ mask: UInt8, of offset: Int, to isSet: Bool) {
    known[offset] |= mask
    value[offset] = isSet ? value[offset] | mask : value[offset] & ~mask
  }

  /// What lies beyond the end is unknown.
  func part(_ offset: Int, _ count: Int) -> PacketBits {
    var part = PacketBits(unknown: count)
    for place in 0..<count where offset >= 0 && offset + place < self.count {
      part.value[place] = value[offset + place]
      part.known[place] = known[offset + place]
    }
    return part
  }

  /// `& mask ^ xor`, as nftables does it.
  func masked(_ mask: [UInt8], xor: [UInt8]) -> PacketBits {
    var result = self
    for place in 0..<count {
      let mask = place < mask.count ? mask[place] : 0xff
      result.known[place] |= ~mask
      result.value[place] = value[place] & mask ^ (place < xor.count ? xor[place] : 0)
      result.value[place] &= result.known[place]
    }
    return result
  }

  /// In groups of so many bytes, which change their order.
  func swapped(groupsOf size: Int) -> PacketBits {
    guard size > 1 else { return self }
    var result = self
    for place in 0..<count {
      let from = place / size * size + size - 1 - place % size
      guard from < count else { continue }
      result.value[place] = value[from]
      result.known[place] = known[from]
    }
    return result
  }

  func equals(_ bytes: [UInt8]) -> Certainty {
    var isCertain = true
    for place in 0..<min(count, bytes.count) {
      if (value[place] ^ bytes[place]) & known[place] != 0 { return .never }
      if known[place] != 0xff { isCertain = false }
    }
    return isCertain ? .always : .sometimes
  }

  /// As numbers whose most significant byte is the first.
  func isLess(than bytes: [UInt8], orEqual: Bool) -> Certainty {
    let count = min(count, bytes.count)
    let least = (0..<count).map { value[$0] & known[$0] }
    let most = (0..<count).map { value[$0] | ~known[$0] }
    func precedes(_ one: [UInt8], _ other: [UInt8]) -> Bool { one.lexicographicallyPrecedes(other) }
    let bound = Array(bytes.prefix(count))
    if orEqual ? !precedes(bound, most) : precedes(most, bound) { return .always }
    return (orEqual ? precedes(bound, least) : !precedes(least, bound)) ? .never : .sometimes
  }
}
