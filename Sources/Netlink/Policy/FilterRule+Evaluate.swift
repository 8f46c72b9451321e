// SPDX-License-Identifier: Apache-2.0

extension FilterRule {
  /// What comes of a rule for the packets that are meant.
  struct Outcome {
    /// Whether it applies to them to its end.
    var matches = Certainty.always
    var verdicts: [Verdict] = []
    /// What else it does to those that get so far.
    var effect: String?
  }

  /// Runs the rule over what is known of the packets.
  func evaluate(_ packet: PacketShape, sets: [String: FilterSet]) -> Outcome {
    var outcome = Outcome()
    var registers = PacketBits(unknown: 80)
    var counts = false
    var acts = false
    for expression in expressions {
      switch expression {
      case .payload(let base, let offset, let count, let into):
        registers.set(packet.payload(base, offset, count), at: into)
      case .meta(let key, let into): registers.set(packet.meta(key), at: into)
      case .connectionState(let into): registers.set(packet.connectionState, at: into)
      case .load(let into, let count): registers.set(PacketBits(unknown: count), at: into)
      case .bitwise(let from, let into, let count, let mask, let xor):
        registers.set(registers.part(from, count).masked(mask, xor: xor), at: into)
      case .swap(let from, let into, let count, let size):
        registers.set(registers.part(from, count).swapped(groupsOf: size), at: into)
      case .constant(let bytes, let into): registers.set(bytes, at: into)
      case .compare(let comparison, let from, let bytes):
        outcome.also(registers.part(from, bytes.count).compare(comparison, bytes))
      case .range(let from, let low, let high, let isInverted):
        let value = registers.part(from, low.count)
        let isInside = value.isLess(than: low, orEqual: false).inverted.and(
          value.isLess(than: high, orEqual: true))
        outcome.also(isInverted ? isInside.inverted : isInside)
      case .lookUp(let name, let from, let into, let isInverted):
        guard let set = sets[name], let found = set.find(registers, at: from) else {
          outcome.also(.sometimes)
          if into == 0 { outcome.verdicts.append(.other("decides by map \(name)")) }
          if let into, into > 0 { registers.set(PacketBits(unknown: 16), at: into) }
          continue
        }
        outcome.also(isInverted ? found.isThere.inverted : found.isThere)
        if into == 0 { outcome.verdicts += found.verdicts }
        if let into, into > 0 { registers.set(PacketBits(unknown: 16), at: into) }
      case .verdict(let verdict): outcome.verdicts.append(verdict)
      case .match(let name, let revision, let info):
        outcome.also(packet.matches(name, revision, info))
      case .stateful: outcome.also(.sometimes)
      case .counter: counts = true
      case .harmless: acts = true
      case .setMark(let value, let mask):
        // One that is as it was is no change.
        let after = packet.mark.masked(mask.map(~), xor: value)
        acts = true
        if after != packet.mark { outcome.effect = outcome.effect ?? "sets the mark" }
      case .effect(let effect): outcome.effect = outcome.effect ?? effect
      }
      if outcome.matches == .never { return outcome }
    }
    if counts, !acts, outcome.verdicts.isEmpty, outcome.effect == nil { outcome.effect = "counts" }
    return outcome
  }
}

extension FilterRule.Outcome {
  fileprivate mutating func also(_ certainty: Certainty) { matches = matches.and(certainty) }
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
      guard info.count >= 9 else { return .sometimes }
      let flags = name == "udp" ? info[8] : info[11]
      let source = port(0, from: number16(0), to: number16(2))
      let destination = port(2, from: number16(4), to: number16(6))
      let ports = (flags & 1 != 0 ? source.inverted : source).and(
        flags & 2 != 0 ? destination.inverted : destination)
      return name == "udp" ? ports : ports.and(.sometimes)
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
      // XT_CONNTRACK_STATE alone, XT_CONNTRACK_STATE_INVALID alone: as `ct state invalid`.
      guard number16(146) == 1, number16(148) == 0, number16(150) == 1 else { return .sometimes }
      return connectionState.masked([1, 0, 0, 0], xor: []).equals([0, 0, 0, 0]).inverted
    default: return .sometimes
    }
  }
}
