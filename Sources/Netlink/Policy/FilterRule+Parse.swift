// SPDX-License-Identifier: Apache-2.0
import CLibNL
import LinuxSystem

/// NFT_MSG_NEWRULE (linux/netfilter/nf_tables.h). Whatever is not known here counts as doing something.
extension FilterRule {
  /// A rule and where it is.
  static func parse(_ payload: UnsafeRawBufferPointer) throws(Failure) -> (
    table: Ruleset.Table, chain: String, rule: FilterRule
  ) {
    let family = Ruleset.family(try payload.read(UInt8.self, at: 0))
    var (table, chain) = ("", "")
    var rule = FilterRule()
    try payload.attributes(after: 4).forEach { attribute throws(Failure) in
      switch attribute.type {
      case 1: table = attribute.string
      case 2: chain = attribute.string
      case 3: rule.handle = try attribute.bigEndian()
      case 4:
        try attribute.nested.forEach { element throws(Failure) in
          if let expression = try Expression(parsing: element.nested) { rule.expressions.append(expression) }
        }
      default: break
      }
    }
    return (Ruleset.Table(family: family, name: table), chain, rule)
  }
}

/// The attributes of one expression, by their numbers.
private struct Fields {
  private var numbers: [Int: UInt32] = [:]
  private var bytes: [Int: [UInt8]] = [:]
  private var strings: [Int: String] = [:]

  init(_ attributes: Attributes) throws(Failure) {
    try attributes.forEach { attribute throws(Failure) in
      bytes[attribute.type] = Array(attribute.payload)
      strings[attribute.type] = attribute.string
      if attribute.payload.count == 4 { numbers[attribute.type] = try attribute.bigEndian() }
    }
  }

  func number(_ type: Int) -> UInt32? { numbers[type] }
  func string(_ type: Int) -> String { strings[type] ?? "" }
  func bytes(_ type: Int) -> [UInt8] { bytes[type] ?? [] }

  /// A register as a place in 80 bytes: sixteen of four bytes, or four of sixteen, behind the verdict's.
  func register(_ type: Int) -> Int? {
    numbers[type].map { $0 < 8 ? Int($0) * 16 : Int($0 - 8 + 4) * 4 }.flatMap { $0 < 80 ? $0 : nil }
  }

  /// NFTA_DATA_VALUE of a nested attribute.
  func value(_ type: Int) throws(Failure) -> [UInt8] { try FilterRule.data(bytes(type)).value }
  func verdict(_ type: Int) throws(Failure) -> FilterRule.Verdict? { try FilterRule.data(bytes(type)).verdict }
}

extension FilterRule {
  /// struct nft_data as attributes: a value or a verdict.
  static func data(_ bytes: [UInt8]) throws(Failure) -> (value: [UInt8], verdict: Verdict?) {
    var value: [UInt8] = []
    var verdict: Verdict?
    var failure: Failure?
    bytes.withUnsafeBytes { raw in
      do throws(Failure) {
        try Attributes(raw).forEach { attribute throws(Failure) in
          if attribute.type == 1 { value = Array(attribute.payload) }
          if attribute.type == 2 { verdict = try Verdict(parsing: attribute.nested) }
        }
      } catch { failure = error }
    }
    if let failure { throw failure }
    return (value, verdict)
  }
}

extension FilterRule.Verdict {
  fileprivate init(parsing attributes: Attributes) throws(Failure) {
    var code: Int32 = 0
    var chain = ""
    try attributes.forEach { attribute throws(Failure) in
      if attribute.type == 1 { code = try attribute.bigEndian() }
      if attribute.type == 2 { chain = attribute.string }
    }
    self =
      switch code {
      case 0: .drop
      case 1: .accept
      case -1, -2: .proceed
      case -3: .jump(chain)
      case -4: .goto(chain)
      case -5: .return
      default: .other("hands packets to user space")
      }
  }
}

extension FilterRule.Expression {
  private static let loads: [String: Int] = [
    // By the number of the attribute that names the register.
    "rt": 1, "osf": 1, "xfrm": 1, "numgen": 1, "socket": 2, "tunnel": 2,
  ]
  private static let effects: [String: String] = [
    "queue": "hands packets to user space", "log": "logs", "tproxy": "redirects to a proxy",
    "synproxy": "answers connections", "dup": "duplicates", "fwd": "sends to another device",
    "flow_offload": "offloads flows", "dynset": "updates a set",
  ]
  private static let connectionEffects: [String: String] = [
    "nat": "translates addresses", "masq": "translates addresses", "redir": "redirects",
  ]
  /// NFT_CT_*: what each packet changes.
  private static let changing: [UInt32: String] = [
    5: "a connection's expiration", 14: "a connection's packets", 15: "a connection's bytes",
    16: "a connection's average packet",
  ]

  /// nil where there is nothing to say: an expression without a name.
  init?(parsing attributes: Attributes) throws(Failure) {
    var name = ""
    var nested = Attributes(UnsafeRawBufferPointer(start: nil, count: 0))
    try attributes.forEach { attribute in
      if attribute.type == 1 { name = attribute.string }
      if attribute.type == 2 { nested = attribute.nested }
    }
    guard !name.isEmpty else { return nil }
    self = try Self.parse(name, Fields(nested))
  }

  private static func parse(_ name: String, _ fields: Fields) throws(Failure) -> Self {
    func unknown() -> Self { .effect("does what is not understood (\(name))") }
    switch name {
    case "payload":
      guard fields.number(5) == nil else { return .effect("changes packets") }
      guard let into = fields.register(1), let base = fields.number(2), let offset = fields.number(3),
        let count = fields.number(4)
      else { return unknown() }
      return .payload(base: base, offset: Int(offset), count: Int(count), into: into)
    case "meta":
      guard fields.number(3) == nil else {
        if fields.number(2) == 3, let from = fields.register(3) { return .storeMark(from: from) }
        return .effect("sets what the kernel notes of packets")
      }
      guard let into = fields.register(1), let key = fields.number(2) else { return unknown() }
      return .meta(key: key, into: into)
    case "ct":
      guard fields.number(4) == nil else { return .connectionEffect("sets what conntrack notes") }
      guard let into = fields.register(1), let key = fields.number(2) else { return unknown() }
      return key == 0 ? .connectionState(into: into) : .load(into: into, count: 16, perPacket: changing[key])
    case "fib":
      guard let into = fields.register(1) else { return unknown() }
      return .route(into: into, result: fields.number(2) ?? 0, flags: fields.number(3) ?? 0)
    case "hash":
      guard let into = fields.register(2) else { return unknown() }
      guard let from = fields.register(1) else { return .load(into: into, count: 16, perPacket: nil) }
      return .derive(from: from, into: into, count: Int(fields.number(3) ?? 4))
    case "exthdr":
      guard fields.number(7) == nil, let into = fields.register(1) else { return .effect("changes packets") }
      return .load(into: into, count: 16, perPacket: "options or extension headers")
    case "bitwise":
      guard let from = fields.register(1), let into = fields.register(2), let count = fields.number(3) else {
        return unknown()
      }
      // NFT_BITWISE_MASK_XOR; shifts, and what came later, are not followed.
      guard (fields.number(6) ?? 0) == 0 else { return .derive(from: from, into: into, count: Int(count)) }
      return .bitwise(
        from: from, into: into, count: Int(count), mask: try fields.value(4), xor: try fields.value(5))
    case "byteorder":
      guard let from = fields.register(1), let into = fields.register(2), let count = fields.number(4),
        let size = fields.number(5)
      else { return unknown() }
      return .swap(from: from, into: into, count: Int(count), size: Int(size))
    case "immediate":
      if let verdict = try fields.verdict(2) { return .verdict(verdict) }
      guard let into = fields.register(1) else { return unknown() }
      return .constant(try fields.value(2), into: into)
    case "cmp":
      guard let from = fields.register(1), let comparison = FilterRule.Comparison(rawValue: fields.number(2) ?? 0)
      else { return unknown() }
      return .compare(comparison, from: from, try fields.value(3))
    case "range":
      guard let from = fields.register(1) else { return unknown() }
      return .range(
        from: from, low: try fields.value(3), high: try fields.value(4), isInverted: fields.number(2) == 1)
    case "lookup":
      guard let from = fields.register(2) else { return unknown() }
      return .lookUp(
        set: fields.string(1), from: from, into: fields.register(3),
        isInverted: (fields.number(5) ?? 0) & 1 == 1)
    case "match": return .match(name: fields.string(1), revision: fields.number(2) ?? 0, info: fields.bytes(3))
    case "target": return target(fields.string(1), fields.bytes(3), UInt8(truncatingIfNeeded: fields.number(2) ?? 0))
    case "counter", "last": return .counter
    case "notrack": return .harmless
    case "limit": return .stateful("a limit")
    case "quota": return .stateful("a quota")
    case "connlimit": return .stateful("a limit of connections")
    case "reject": return .reject
    case "objref": return object(fields.number(1))
    default:
      if let effect = effects[name] { return .effect(effect) }
      if let effect = connectionEffects[name] { return .connectionEffect(effect) }
      guard let type = loads[name], let into = fields.register(type) else { return unknown() }
      return .load(into: into, count: 16, perPacket: name == "numgen" ? "numbers made for each packet" : nil)
    }
  }

  /// NFT_OBJECT_*, named in the rule; without a number a map names it.
  private static func object(_ type: UInt32?) -> Self {
    switch type {
    case 1: .counter
    case 2: .stateful("a quota")
    case 4: .stateful("a limit")
    case 5: .stateful("a limit of connections")
    case 3, 7, 9: .connectionEffect("sets what conntrack notes")
    default: .effect("uses a named object")
    }
  }

  private static let targets: [String: String] = [
    "LOG": "logs", "NFLOG": "logs", "MARK": "sets the mark", "NFQUEUE": "hands packets to user space",
    "TPROXY": "redirects to a proxy", "TEE": "duplicates",
  ]
  private static let connectionTargets: [String: String] = [
    "DNAT": "translates addresses", "SNAT": "translates addresses", "MASQUERADE": "translates addresses",
    "NETMAP": "translates addresses", "REDIRECT": "redirects", "CT": "does CT",
  ]

  /// A target of iptables that is no verdict.
  static func target(_ name: String, _ info: [UInt8], _ revision: UInt8) -> Self {
    // XT_CT_NOTRACK alone: such packets have no connection, with or without the fast path.
    if name == "NOTRACK" || (name == "CT" && info.count >= 4 && info[0] == 1 && info[1...3] == [0, 0, 0]) {
      return .harmless
    }
    // struct xt_mark_tginfo2
    if name == "MARK", revision == 2, info.count >= 8 {
      return .setMark(value: Array(info[0..<4]), mask: Array(info[4..<8]))
    }
    if name == "REJECT" { return .reject }
    // struct xt_connmark_tginfo1: XT_CONNMARK_SET, _SAVE, _RESTORE
    if name == "CONNMARK" {
      return info.count >= 13 && info[12] < 2 ? .connectionEffect("sets marks") : .restoreMark
    }
    if let effect = connectionTargets[name] { return .connectionEffect(effect) }
    return .effect(targets[name] ?? "does \(name)")
  }
}
