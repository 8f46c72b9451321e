// SPDX-License-Identifier: Apache-2.0

extension FilterRule {
  /// What comes of a rule for the packets that are meant.
  struct Outcome {
    /// Whether it applies to them to its end.
    var matches = Certainty.always
    var verdicts: [Verdict] = []
    /// What else it does to those that get so far.
    var effect: String?
    /// The same where it is done to each packet, not to a connection once; marks apart.
    var packetEffect: String?
    /// What it looks at, where packets of one connection and direction may differ in whether it matches.
    var perPacket: String?
    /// The mark of those to which it applies, where the rule set it.
    var mark: PacketBits?
    var rejects = false
  }

  /// Runs the rule over what is known of the packets.
  func evaluate(_ packet: PacketShape, sets: [String: FilterSet]) -> Outcome {
    var outcome = Outcome()
    var registers = Registers()
    var counts = false
    var acts = false
    var ends = DemandedEnds(isIPv4: packet.isIPv4)
    for expression in expressions {
      if packet.endsDiffer { ends.note(expression) }
      switch expression {
      case .payload(let base, let offset, let count, let into):
        registers.set(packet.payload(base, offset, count), at: into, packet.perPacket(base, offset, count))
      case .meta(let key, let into):
        let mark = key == 3 ? outcome.mark : nil
        registers.set(mark ?? packet.meta(key), at: into, PacketShape.perPacket(meta: key))
      case .connectionState(let into): registers.set(packet.connectionState, at: into)
      case .load(let into, let count, let perPacket):
        registers.set(PacketBits(unknown: count), at: into, perPacket)
      case .derive(let from, let into, let count):
        registers.set(PacketBits(unknown: 16), at: into, registers.perPacket(from, count))
      case .route(let into, let result, let flags): registers.set(packet.route(result, flags), at: into)
      case .bitwise(let from, let into, let count, let mask, let xor):
        registers.change(from, into, count) { $0.masked(mask, xor: xor) }
      case .swap(let from, let into, let count, let size):
        registers.change(from, into, count) { $0.swapped(groupsOf: size) }
      case .constant(let bytes, let into): registers.set(PacketBits(bytes), at: into)
      case .compare(let comparison, let from, let bytes):
        outcome.also(
          registers.part(from, bytes.count).compare(comparison, bytes), registers.perPacket(from, bytes.count))
      case .range(let from, let low, let high, let isInverted):
        let value = registers.part(from, low.count)
        let isInside = value.isLess(than: low, orEqual: false).inverted.and(
          value.isLess(than: high, orEqual: true))
        outcome.also(isInverted ? isInside.inverted : isInside, registers.perPacket(from, low.count))
      case .lookUp(let name, let from, let into, let isInverted):
        let set = sets[name]
        let perPacket =
          set?.changesByItself == true ? "set \(name), which changes by itself"
          : registers.perPacket(from, set?.keyBytes ?? 1)
        let found = set?.find(registers.bits, at: from)
        outcome.also(
          found.map { isInverted ? $0.isThere.inverted : $0.isThere } ?? .sometimes, perPacket)
        if into == 0 { outcome.verdicts += found?.verdicts ?? [.other("decides by map \(name)")] }
        if let into, into > 0 { registers.set(PacketBits(unknown: 16), at: into, perPacket) }
      case .verdict(let verdict): outcome.verdicts.append(verdict)
      case .match(let name, let revision, let info):
        outcome.also(packet.matches(name, revision, info), PacketShape.perPacket(match: name, info))
      case .stateful(let what): outcome.also(.sometimes, what)
      case .counter: counts = true
      case .harmless: acts = true
      case .setMark(let value, let mask):
        acts = true
        outcome.set((outcome.mark ?? packet.mark).masked(mask.map(~), xor: value), before: packet.mark)
      case .storeMark(let from):
        acts = true
        outcome.set(registers.part(from, 4), before: packet.mark)
        if let perPacket = registers.perPacket(from, 4) {
          outcome.packetEffect = "sets the mark by \(perPacket)"
        }
      case .restoreMark:
        outcome.mark = PacketBits(unknown: 4)
        outcome.effect = outcome.effect ?? "sets marks"
      case .reject:
        outcome.effect = outcome.effect ?? "rejects"
        outcome.rejects = true
      case .connectionEffect(let effect): outcome.effect = outcome.effect ?? effect
      case .effect(let effect):
        outcome.effect = outcome.effect ?? effect
        outcome.packetEffect = outcome.packetEffect ?? effect
      }
      if outcome.matches == .never { return outcome }
    }
    if ends.areOne { outcome.matches = .never }
    if counts, !acts, outcome.verdicts.isEmpty, outcome.effect == nil { outcome.effect = "counts" }
    return outcome
  }
}

/// The whole addresses that a rule asks for: Docker's for what a container sends to itself (its published port) has one
/// for both ends.
private struct DemandedEnds {
  private var bytes: [UInt8?] = Array(repeating: nil, count: 40)
  /// Where in the network header a register's bytes are from.
  private var loaded: [Int: (offset: Int, count: Int)] = [:]
  private let isIPv4: Bool

  init(isIPv4: Bool) { self.isIPv4 = isIPv4 }

  mutating func note(_ expression: FilterRule.Expression) {
    switch expression {
    case .payload(let base, let offset, let count, let into):
      overwrite(into, count)
      if base == 1 { loaded[into] = (offset, count) }
    // Of a prefix as long as the address, as iptables has it.
    case .bitwise(let from, let into, let count, let mask, let xor):
      let isWhole = mask.count == count && mask.allSatisfy { $0 == 0xff } && xor.allSatisfy { $0 == 0 }
      let source = loaded[from]
      overwrite(into, count)
      if isWhole, source?.count == count { loaded[into] = source }
    case .compare(.equal, let from, let wanted):
      guard let place = loaded[from], place.count == wanted.count else { return }
      for (number, byte) in wanted.enumerated() where place.offset + number < bytes.count {
        bytes[place.offset + number] = byte
      }
    case .meta(_, let into), .connectionState(let into): overwrite(into, 16)
    case .load(let into, let count, _), .swap(_, let into, let count, _): overwrite(into, count)
    case .constant(let bytes, let into): overwrite(into, bytes.count)
    case .derive(_, let into, let count): overwrite(into, count)
    case .route(let into, _, _): overwrite(into, 16)
    case .lookUp(_, _, let into?, _): overwrite(into, 64)
    default: break
    }
  }

  private mutating func overwrite(_ into: Int, _ count: Int) {
    loaded = loaded.filter { $0.key + $0.value.count <= into || $0.key >= into + count }
  }

  var areOne: Bool {
    let (source, destination) = isIPv4 ? (bytes[12..<16], bytes[16..<20]) : (bytes[8..<24], bytes[24..<40])
    return !source.contains(nil) && Array(source) == Array(destination)
  }
}

extension FilterRule.Outcome {
  fileprivate mutating func also(_ certainty: Certainty, _ perPacket: String?) {
    matches = matches.and(certainty)
    if certainty == .sometimes { self.perPacket = self.perPacket ?? perPacket }
  }

  /// One that is as it was is no change.
  fileprivate mutating func set(_ after: PacketBits, before: PacketBits) {
    mark = after
    if after != before { effect = effect ?? "sets the mark" }
  }
}

/// The registers of nftables, and of what each was made that need not be the same for each of a connection's packets.
private struct Registers {
  private(set) var bits = PacketBits(unknown: 80)
  private var sources = [String?](repeating: nil, count: 20)

  mutating func set(_ value: PacketBits, at place: Int, _ perPacket: String? = nil) {
    bits.set(value, at: place)
    for word in words(place, value.count) { sources[word] = perPacket }
  }

  mutating func change(_ from: Int, _ into: Int, _ count: Int, _ body: (PacketBits) -> PacketBits) {
    set(body(part(from, count)), at: into, perPacket(from, count))
  }

  func part(_ place: Int, _ count: Int) -> PacketBits { bits.part(place, count) }

  func perPacket(_ place: Int, _ count: Int) -> String? {
    words(place, count).lazy.compactMap { sources[$0] }.first
  }

  private func words(_ place: Int, _ count: Int) -> Range<Int> {
    let first = min(max(0, place / 4), sources.count)
    return first..<max(first, min(sources.count, (place + count + 3) / 4))
  }
}

extension PacketBits {
  fileprivate func compare(_ comparison: FilterRule.Comparison, _ bytes: [UInt8]) -> Certainty {
    switch comparison {
    case .equal: equals(bytes)
    case .notEqual: equals(bytes).inverted
    case .less: isLess(than: bytes, orEqual: false)
    case .lessOrEqual: isLess(than: bytes, orEqual: true)
    case .greater: isLess(than: bytes, orEqual: true).inverted
    case .greaterOrEqual: isLess(than: bytes, orEqual: false).inverted
    }
  }
}

extension PacketShape {
  /// XT_CONNTRACK_STATE_*, whose bits are those of `ct state` but for one; those of translation beside them.
  private func isInState(_ wanted: UInt16) -> Certainty {
    func has(_ bits: UInt8) -> Certainty {
      connectionState.masked([bits, 0, 0, 0], xor: []).equals([0, 0, 0, 0]).inverted
    }
    var holds = has(UInt8(wanted & 0x3f))
    // XT_CONNTRACK_STATE_UNTRACKED
    if wanted & 0x100 != 0 { holds = holds.or(has(0x40)) }
    // _SNAT, _DNAT
    if wanted & 0xc0 != 0 { holds = holds.or(.sometimes) }
    return holds
  }

  /// Matches of iptables, whose structures are the kernel's (linux/netfilter/xt_*.h). Any other may hold.
  func matches(_ name: String, _ revision: UInt32, _ info: [UInt8]) -> Certainty {
    func number16(_ offset: Int) -> UInt16 { UInt16(info[offset]) | UInt16(info[offset + 1]) << 8 }
    // Ports in this host's order, the packet's in the network's.
    func port(_ offset: Int, from low: UInt16, to high: UInt16) -> Certainty {
      let value = transport.part(offset, 2)
      let (low, high) = ([UInt8(low >> 8), UInt8(low & 0xff)], [UInt8(high >> 8), UInt8(high & 0xff)])
      return value.isLess(than: low, orEqual: false).inverted.and(value.isLess(than: high, orEqual: true))
    }
    switch name {
    case "comment": return .always
    case "tcp", "udp":
      let number: UInt8 = name == "tcp" ? 6 : 17
      if let protocolNumber, protocolNumber != number { return .never }
      // struct xt_udp: spts, dpts, invflags; struct xt_tcp looks at flags and options besides.
      guard info.count >= (name == "udp" ? 9 : 12) else { return .sometimes }
      let flags = name == "udp" ? info[8] : info[11]
      let source = port(0, from: number16(0), to: number16(2))
      let destination = port(2, from: number16(4), to: number16(6))
      let ports = (flags & 1 != 0 ? source.inverted : source).and(
        flags & 2 != 0 ? destination.inverted : destination)
      guard name == "tcp" else { return ports }
      guard info[8] == 0, flags & 8 == 0 else { return ports.and(.sometimes) }
      let bits = transport.part(13, 1).masked([info[9]], xor: []).equals([info[10]])
      return ports.and(flags & 4 != 0 ? bits.inverted : bits)
    case "mark" where revision == 1 && info.count >= 9:
      let holds = mark.masked(Array(info[4..<8]), xor: []).equals(Array(info[0..<4]))
      return info[8] != 0 ? holds.inverted : holds
    case "multiport" where revision == 1 && info.count >= 48:
      // XT_MULTIPORT_DESTINATION of plain ports; others and ranges may hold.
      guard info[0] == 1, info[47] == 0 else { return .sometimes }
      let ports = (0..<min(15, Int(info[1]))).map { number16(2 + 2 * $0) }
      let isRange = info[32..<47].contains { $0 != 0 }
      guard !isRange else { return .sometimes }
      let each = ports.map { port(2, from: $0, to: $0) }
      return each.contains(.always) ? .always : each.contains(.sometimes) ? .sometimes : .never
    case "conntrack" where info.count >= 152:
      // XT_CONNTRACK_STATE alone, which XT_CONNTRACK_STATE_ALIAS calls "state".
      guard number16(146) & ~0x2000 == 1 else { return .sometimes }
      let holds = isInState(number16(150))
      return number16(148) & 1 != 0 ? holds.inverted : holds
    // struct xt_state_info
    case "state" where info.count >= 4: return isInState(number16(0))
    // struct xt_addrtype_info_v1: masks of 1 << RTN_*, flags; XT_ADDRTYPE_LIMIT_IFACE_* ask for one device's addresses.
    case "addrtype" where revision == 1 && info.count >= 8 && info[4] & 0b1100 == 0:
      func isOfType(_ mask: UInt16, isLocal: Bool, isInverted: Bool) -> Certainty {
        guard mask != 0 else { return .always }
        return isLocal ? Certainty((mask & 1 << 2 != 0) != isInverted) : .sometimes
      }
      return isOfType(number16(0), isLocal: sourceIsLocal, isInverted: info[4] & 1 != 0)
        .and(isOfType(number16(2), isLocal: destinationIsLocal, isInverted: info[4] & 2 != 0))
    case "rpfilter" where info.count >= 1 && returnsByInput:
      // XT_RPFILTER_INVERT
      return Certainty(info[0] & 8 == 0)
    default: return .sometimes
    }
  }
}
