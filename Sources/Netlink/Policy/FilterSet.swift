// SPDX-License-Identifier: Apache-2.0
import LinuxSystem

/// A set or map of nftables whose elements only a transaction changes, which the generation tells.
public struct FilterSet: Sendable, Hashable {
  /// NFT_SET_*
  enum Flags {
    static let interval: UInt32 = 4
    static let timeout: UInt32 = 16
    static let evaluated: UInt32 = 32
    static let object: UInt32 = 64
    static let concatenation: UInt32 = 128
  }

  struct Element: Sendable, Hashable {
    var key: [UInt8] = []
    var keyEnd: [UInt8] = []
    var verdict: FilterRule.Verdict?
    /// NFT_SET_ELEM_*: 1 where an interval ends, 2 for what no other element is.
    var flags: UInt32 = 0
  }

  var flags: UInt32
  var keyBytes: Int
  var elements: [Element] = []

  /// Whether it can be told what is in it.
  var isPlain: Bool {
    flags & (Flags.timeout | Flags.evaluated | Flags.object) == 0
      && !(flags & Flags.interval != 0 && flags & Flags.concatenation != 0)
  }

  /// Elements come and go without a transaction: they time out, or rules add them.
  var changesByItself: Bool { flags & (Flags.timeout | Flags.evaluated) != 0 }

  /// nil where it cannot be told. The verdicts are those that may come of it.
  func find(_ registers: PacketBits, at place: Int) -> (isThere: Certainty, verdicts: [FilterRule.Verdict])? {
    guard isPlain else { return nil }
    let key = registers.part(place, keyBytes)
    var isThere = Certainty.never
    var verdicts: [FilterRule.Verdict] = []
    var rest: [Element] = []
    for (holds, element) in flags & Flags.interval != 0 ? intervals(key) : exact(key) {
      if element.flags & 2 != 0 {
        rest.append(element)
        continue
      }
      guard holds != .never else { continue }
      if holds == .always || isThere == .never { isThere = holds }
      if let verdict = element.verdict { verdicts.append(verdict) }
    }
    if isThere != .always, let other = rest.first {
      isThere = .always
      if let verdict = other.verdict { verdicts.append(verdict) }
    }
    return (isThere, verdicts)
  }

  private func exact(_ key: PacketBits) -> [(Certainty, Element)] { elements.map { (key.equals($0.key), $0) } }

  /// From each start to the next end, or the next start.
  private func intervals(_ key: PacketBits) -> [(Certainty, Element)] {
    let sorted = elements.filter { $0.flags & 2 == 0 }.sorted { one, other in
      one.key == other.key
        ? one.flags & 1 > other.flags & 1 : one.key.lexicographicallyPrecedes(other.key)
    }
    var found: [(Certainty, Element)] = []
    for (place, element) in sorted.enumerated() where element.flags & 1 == 0 {
      var holds = key.isLess(than: element.key, orEqual: false).inverted
      if let end = sorted[(place + 1)...].first {
        holds = holds.and(key.isLess(than: end.key, orEqual: false))
      }
      found.append((holds, element))
    }
    return found + elements.filter { $0.flags & 2 != 0 }.map { (.never, $0) }
  }
}

extension FilterSet {
  /// NFT_MSG_NEWSET.
  static func parse(_ payload: UnsafeRawBufferPointer) throws(Failure) -> (
    table: Ruleset.Table, name: String, set: FilterSet
  ) {
    var set = FilterSet(flags: 0, keyBytes: 0)
    var (table, name) = ("", "")
    try payload.attributes(after: 4).forEach { attribute throws(Failure) in
      switch attribute.type {
      case 1: table = attribute.string
      case 2: name = attribute.string
      case 3: set.flags = try attribute.bigEndian()
      case 5: set.keyBytes = Int(try attribute.bigEndian(UInt32.self))
      default: break
      }
    }
    return (Ruleset.Table(family: Ruleset.family(try payload.read(UInt8.self, at: 0)), name: table), name, set)
  }

  /// NFT_MSG_NEWSETELEM: some of a set's elements.
  static func parseElements(_ payload: UnsafeRawBufferPointer) throws(Failure) -> [Element] {
    var elements: [Element] = []
    try payload.attributes(after: 4).forEach { attribute throws(Failure) in
      guard attribute.type == 3 else { return }
      try attribute.nested.forEach { item throws(Failure) in
        var element = Element()
        try item.nested.forEach { field throws(Failure) in
          switch field.type {
          case 1: element.key = try FilterRule.data(Array(field.payload)).value
          case 2: element.verdict = try FilterRule.data(Array(field.payload)).verdict
          case 3: element.flags = try field.bigEndian()
          case 10: element.keyEnd = try FilterRule.data(Array(field.payload)).value
          default: break
          }
        }
        elements.append(element)
      }
    }
    return elements
  }
}
