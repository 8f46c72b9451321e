// SPDX-License-Identifier: Apache-2.0
import CLibNL
import Glibc
import LinuxSystem

/// Tables of legacy iptables, as getsockopt(IPT_SO_GET_ENTRIES) gives them (linux/netfilter_ipv4/ip_tables.h), in the
/// words of nftables.
extension Ruleset {
  /// Those of the calling thread's namespace. They announce nothing and have no generation.
  mutating func addLegacyTables() {
    for name in Self.lines("/proc/thread-self/net/ip_tables_names") {
      let table = Table(family: "ip", name: name, isLegacy: true)
      if let content = LegacyTable(name)?.content { tables[table] = content } else { unread.append(table) }
    }
    // Of IPv6 only whether there are any.
    for name in Self.lines("/proc/thread-self/net/ip6_tables_names") {
      unread.append(Table(family: "ip6", name: name, isLegacy: true))
    }
  }

  private static func lines(_ path: String) -> [String] {
    ((try? FileText.read(path)) ?? "").split(separator: "\n").map(String.init)
  }
}

private struct LegacyTable {
  private let bytes: [UInt8]
  private let hooks: [UInt32: Int]
  private let table: String

  /// NF_IP_PRI_*; those of nat are by hook, and no matter.
  private static let priorities: [String: Int32] = ["raw": -300, "mangle": -150, "security": 50]
  private static let names: [UInt32: String] = [
    0: "PREROUTING", 1: "INPUT", 2: "FORWARD", 3: "OUTPUT", 4: "POSTROUTING",
  ]

  /// nil where it cannot be read.
  init?(_ name: String) {
    let raw = socket(AF_INET, Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 255 /* IPPROTO_RAW */)
    guard raw >= 0 else { return nil }
    defer { close(raw) }
    // A rule more between the two questions is EAGAIN.
    for _ in 0..<8 {
      // struct ipt_getinfo: name, valid_hooks, hook_entry[5], underflow[5], num_entries, size.
      var info = [UInt8](repeating: 0, count: 84)
      info.replaceSubrange(0..<min(31, name.utf8.count), with: name.utf8.prefix(31))
      var length = socklen_t(info.count)
      guard getsockopt(raw, 0 /* SOL_IP */, 64 /* IPT_SO_GET_INFO */, &info, &length) == 0 else { return nil }
      let size = Int(info.number(80))
      // struct ipt_get_entries: name, size, entries from 40 on.
      var entries = [UInt8](repeating: 0, count: 40 + size)
      entries.replaceSubrange(0..<32, with: info[0..<32])
      entries.replaceSubrange(32..<36, with: info[80..<84])
      length = socklen_t(entries.count)
      guard getsockopt(raw, 0, 65 /* IPT_SO_GET_ENTRIES */, &entries, &length) == 0 else { continue }
      bytes = Array(entries[40...])
      var hooks: [UInt32: Int] = [:]
      for hook in UInt32(0)..<5 where info.number(32) & 1 << hook != 0 {
        hooks[hook] = Int(info.number(36 + 4 * Int(hook)))
      }
      self.hooks = hooks
      table = name
      return
    }
    return nil
  }

  private struct Entry {
    var offset: Int
    var next: Int
    var target: Int
    var rule: FilterRule
    /// Where it is the head of a user's chain.
    var chain: String?
    /// A verdict of the standard target.
    var verdict: Int32?
    var goesTo: Bool
  }

  /// nil where it is not as expected.
  var content: Ruleset.Content? {
    var entries: [Entry] = []
    var offset = 0
    while offset < bytes.count {
      guard let entry = entry(at: offset) else { return nil }
      entries.append(entry)
      offset = entry.next
    }
    // Where each chain begins: its own entries are those up to the next chain.
    var starts: [Int: String] = [:]
    for (hook, offset) in hooks { starts[offset] = Self.names[hook]! }
    for entry in entries { if let chain = entry.chain { starts[entry.next] = chain } }
    var content = Ruleset.Content()
    var current = ""
    for entry in entries {
      if let name = starts[entry.offset] {
        current = name
        content.chains[name] = Ruleset.Chain(
          name: name, hook: hooks.first { $0.value == entry.offset }?.key, type: table == "nat" ? "nat" : "filter",
          priority: Self.priorities[table] ?? 0)
      }
      // The last entry is the table's end.
      guard entry.chain == nil, content.chains[current] != nil else { continue }
      var rule = entry.rule
      if let verdict = entry.verdict {
        switch verdict {
        case -1: rule.expressions.append(.verdict(.drop))
        case -2: rule.expressions.append(.verdict(.accept))
        case -5: rule.expressions.append(.verdict(.return))
        case 0...:
          // A rule without a target leads to the next.
          if Int(verdict) == entry.next {
            rule.expressions.append(.counter)
          } else if let chain = starts[Int(verdict)] {
            rule.expressions.append(.verdict(entry.goesTo ? .goto(chain) : .jump(chain)))
          } else {
            return nil
          }
        default: rule.expressions.append(.effect("hands packets to user space"))
        }
      }
      content.chains[current]!.rules.append(rule)
    }
    return content
  }

  /// struct ipt_entry
  private func entry(at offset: Int) -> Entry? {
    guard offset + 112 <= bytes.count else { return nil }
    let target = offset + Int(bytes.short(offset + 88))
    let next = offset + Int(bytes.short(offset + 90))
    guard next > offset, next <= bytes.count, target + 32 <= next, target >= offset + 112 else { return nil }
    var entry = Entry(
      offset: offset, next: next, target: target, rule: FilterRule(expressions: conditions(at: offset)),
      chain: nil, verdict: nil, goesTo: bytes[offset + 82] & 2 != 0)
    var place = offset + 112
    while place < target {
      let size = Int(bytes.short(place))
      guard size >= 32, place + size <= target else { return nil }
      entry.rule.expressions.append(
        .match(
          name: bytes.text(place + 2), revision: UInt32(bytes[place + 31]),
          info: Array(bytes[place + 32..<place + size])))
      place += size
    }
    let name = bytes.text(target + 2)
    switch name {
    case "":
      guard target + 36 <= next else { return nil }
      entry.verdict = Int32(bitPattern: bytes.number(target + 32))
    case "ERROR": entry.chain = bytes.text(target + 32)
    default:
      entry.rule.expressions.append(
        FilterRule.Expression.target(name, Array(bytes[target + 32..<next]), bytes[target + 31]))
    }
    return entry
  }

  /// struct ipt_ip
  private func conditions(at offset: Int) -> [FilterRule.Expression] {
    var all: [FilterRule.Expression] = []
    let inverted = bytes[offset + 83]
    func compare(_ value: [UInt8], _ mask: [UInt8], _ load: FilterRule.Expression, isInverted: Bool) {
      guard mask.contains(where: { $0 != 0 }) else { return }
      all.append(load)
      all.append(.bitwise(from: 16, into: 16, count: value.count, mask: mask, xor: []))
      all.append(.compare(isInverted ? .notEqual : .equal, from: 16, zip(value, mask).map { $0 & $1 }))
    }
    func part(_ place: Int, _ count: Int) -> [UInt8] { Array(bytes[offset + place..<offset + place + count]) }
    compare(
      part(0, 4), part(8, 4), .payload(base: 1, offset: 12, count: 4, into: 16), isInverted: inverted & 8 != 0)
    compare(
      part(4, 4), part(12, 4), .payload(base: 1, offset: 16, count: 4, into: 16),
      isInverted: inverted & 0x10 != 0)
    compare(part(16, 16), part(48, 16), .meta(key: 6, into: 16), isInverted: inverted & 1 != 0)
    compare(part(32, 16), part(64, 16), .meta(key: 7, into: 16), isInverted: inverted & 2 != 0)
    let number = bytes.short(offset + 80)
    if number != 0 {
      compare([UInt8(number & 0xff)], [0xff], .meta(key: 16, into: 16), isInverted: inverted & 0x40 != 0)
    }
    // IPT_F_FRAG: of fragments but the first.
    if bytes[offset + 82] & 1 != 0 {
      compare(
        [0, 0], [0x1f, 0xff], .payload(base: 1, offset: 6, count: 2, into: 16), isInverted: inverted & 0x20 == 0)
    }
    return all
  }
}

extension [UInt8] {
  fileprivate func number(_ offset: Int) -> UInt32 {
    self[offset..<offset + 4].reversed().reduce(0) { $0 << 8 | UInt32($1) }
  }
  fileprivate func short(_ offset: Int) -> UInt16 { UInt16(self[offset]) | UInt16(self[offset + 1]) << 8 }
  fileprivate func text(_ offset: Int) -> String {
    String(decoding: self[offset...].prefix(32).prefix { $0 != 0 }, as: UTF8.self)
  }
}
