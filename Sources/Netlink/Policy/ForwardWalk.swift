// SPDX-License-Identifier: Apache-2.0

/// Takes packets of established connections through the chains of a namespace in the kernel's order, as far as can be
/// told beforehand: which devices they may still have, and which mark, is kept along the way, so that a chain for each
/// device, ended by a rule that drops the rest, drops nothing.
struct ForwardWalk {
  /// What packets that got to one place have in common.
  private struct State: Hashable {
    var inputs: Set<ForwardPath.Device>
    var outputs: Set<ForwardPath.Device>
    var mark: PacketBits
    /// A rule that looks at each packet has decided who gets here.
    var perPacket: String?
    /// Not all that are meant do.
    var isOfSome = false

    func merged(_ other: State?) -> State {
      guard let other else { return self }
      return State(
        inputs: inputs.union(other.inputs), outputs: outputs.union(other.outputs),
        mark: mark.common(with: other.mark), perPacket: perPacket ?? other.perPacket,
        isOfSome: isOfSome && other.isOfSome)
    }
  }

  /// Nil where no packet ends so.
  private struct Ends {
    var back: State?
    var accepted: State?
    /// Whether some are dropped, which come to no end.
    var drops = false
  }

  private struct Visit: Hashable {
    var chain: String
    var state: State
  }

  /// The first rule that looks at each packet, or does something to it.
  private(set) var eachPacket: Ruleset.Objection?
  /// The first that drops by what a connection's packets have in common.
  private(set) var refusal: Ruleset.Objection?

  private let path: ForwardPath
  private let leg: ForwardPath.Leg
  private let arriving: PacketShape
  private let routed: PacketShape
  private let leaving: PacketShape
  private var visits: [Visit: Ends] = [:]
  private var table = Ruleset.Table(family: "", name: "")
  private var content = Ruleset.Content()
  private var base = Ruleset.Chain(name: "")
  private var hookPacket: PacketShape

  /// - Parameters:
  ///   - arriving, routed, leaving: before the destination is translated, between, and behind the translation of the
  ///     source.
  init(
    path: ForwardPath, leg: ForwardPath.Leg, arriving: PacketShape, routed: PacketShape, leaving: PacketShape
  ) {
    (self.path, self.leg) = (path, leg)
    (self.arriving, self.routed, self.leaving) = (arriving, routed, leaving)
    hookPacket = arriving
  }

  /// NF_IP_PRI_NAT_DST, NF_IP_PRI_NAT_SRC: where conntrack's translations take place.
  private static let destinationNAT: Int32 = -100
  private static let sourceNAT: Int32 = 100

  private func packet(at chain: Ruleset.Chain) -> PacketShape {
    switch chain.hook {
    case 0 where chain.priority < Self.destinationNAT: arriving
    case 4 where chain.priority > Self.sourceNAT: leaving
    default: routed
    }
  }

  /// A device's own hooks, those of a bridge's ports, then those of layer 3.
  mutating func run(_ rules: Ruleset) {
    var state: State? = State(
      inputs: Set(leg.inputs), outputs: Set(leg.outputs), mark: arriving.mark, perPacket: nil)
    // Without br_netfilter conntrack has said nothing yet.
    func untracked(_ packet: PacketShape) -> PacketShape {
      var packet = packet
      packet.connectionState = PacketBits(unknown: 4)
      return packet
    }
    let (early, late) = (untracked(arriving), untracked(leaving))
    let ports = Set(path.bridgePorts)
    let inputPorts = leg.isFromContainer ? ports : []
    let outputPorts = leg.isToContainer ? ports : []
    let netdev = rules.chains(of: ["netdev"], at: 0) + rules.chains(of: ["inet"], at: 5)
    pass(netdev, early, &state, inputs: inputPorts.union(leg.inputs), bound: true)
    if !inputPorts.isEmpty {
      for hook in [UInt32(0), 1] { pass(rules.chains(of: ["bridge"], at: hook), early, &state, inputs: inputPorts) }
    }
    for hook in [UInt32(0), 2, 4] { pass(rules.chains(of: path.families, at: hook), nil, &state) }
    if !outputPorts.isEmpty {
      for hook in [UInt32(3), 4] { pass(rules.chains(of: ["bridge"], at: hook), late, &state, outputs: outputPorts) }
    }
    pass(rules.chains(of: ["netdev"], at: 1), late, &state, outputs: outputPorts.union(leg.outputs), bound: true)
    for table in rules.unread where path.families.contains(table.family) {
      eachPacket =
        eachPacket
        ?? Ruleset.Objection(
          table: table, chain: "", hook: nil, devices: [], rule: nil, ruleChain: "",
          effect: "cannot be read and may do anything")
    }
  }

  /// Through one hook's chains; with `inputs` or `outputs` as devices of another layer.
  private mutating func pass(
    _ chains: [(table: Ruleset.Table, content: Ruleset.Content, chain: Ruleset.Chain)], _ packet: PacketShape?,
    _ state: inout State?, inputs: Set<ForwardPath.Device>? = nil, outputs: Set<ForwardPath.Device>? = nil,
    bound: Bool = false
  ) {
    for (table, content, chain) in chains {
      guard var now = state, eachPacket == nil else { return }
      let before = now
      // First packets of connections alone get there.
      guard chain.type != "nat" else { continue }
      if let inputs { now.inputs = inputs }
      if let outputs { now.outputs = outputs }
      if bound {
        func isMeant(_ device: ForwardPath.Device) -> Bool { chain.devices.contains { device.isMeant(by: $0) } }
        if inputs != nil { now.inputs = now.inputs.filter(isMeant) }
        if outputs != nil { now.outputs = now.outputs.filter(isMeant) }
        guard !(inputs != nil ? now.inputs : now.outputs).isEmpty else { continue }
      }
      (self.table, self.content, base, visits) = (table, content, chain, [:])
      hookPacket = (packet ?? self.packet(at: chain)).at(chain.hook ?? 2, of: table.family)
      let ends = walk(chain, now, depth: 0)
      if let back = ends.back, chain.drops {
        drop(back, object(nil, in: chain.name, "drops"))
      }
      var after = (chain.drops ? nil : ends.back).map { $0.merged(ends.accepted) } ?? ends.accepted
      // Others' devices, and whoever does not pass this chain, stay as they were.
      if inputs != nil || outputs != nil {
        after?.inputs = before.inputs
        after?.outputs = before.outputs
        if bound, let changed = after { after = changed.merged(before) }
      }
      state = after
    }
  }

  private mutating func drop(_ state: State, _ objection: Ruleset.Objection) {
    guard let perPacket = state.perPacket else {
      refusal = refusal ?? objection
      return
    }
    var objection = objection
    objection.effect += " by \(perPacket)"
    eachPacket = eachPacket ?? objection
  }

  /// A rule that does something to each packet to which it applies: some connections' or, where it cannot be told by
  /// addresses, ports and devices to whose, all.
  private mutating func act(on state: State, _ outcome: FilterRule.Outcome, _ objection: Ruleset.Objection) {
    var isOfSome = state.inputs.count + state.outputs.count < leg.inputs.count + leg.outputs.count
    isOfSome = isOfSome || outcome.matches == .sometimes || state.isOfSome
    if isOfSome, outcome.perPacket == nil, state.perPacket == nil {
      refusal = refusal ?? objection
    } else {
      eachPacket = eachPacket ?? objection
    }
  }

  private func object(_ rule: UInt64?, in chain: String, _ effect: String) -> Ruleset.Objection {
    Ruleset.Objection(
      table: table, chain: base.name, hook: base.hook, devices: base.devices, rule: rule, ruleChain: chain,
      effect: effect)
  }

  private mutating func walk(_ chain: Ruleset.Chain, _ start: State, depth: Int) -> Ends {
    // As deep as the kernel lets chains be (NFT_JUMP_STACK_SIZE).
    guard depth <= 16 else {
      eachPacket = eachPacket ?? object(nil, in: chain.name, "is too deep to follow and may do anything")
      return Ends()
    }
    var state: State? = start
    var ends = Ends()
    for rule in chain.rules {
      guard let now = state, eachPacket == nil else { break }
      state = nil
      for group in split(now, for: rule) {
        let next = apply(rule, of: chain, to: group, &ends, depth: depth)
        state = next.map { $0.merged(state) } ?? state
      }
    }
    if let state { ends.back = state.merged(ends.back) }
    return ends
  }

  /// Where a rule asks for a device it is applied for each by itself.
  private func split(_ state: State, for rule: FilterRule) -> [State] {
    let keys = rule.deviceKeys
    if keys.input, state.inputs.count > 1 {
      return state.inputs.map { var one = state; one.inputs = [$0]; return one }
    }
    if keys.output, state.outputs.count > 1 {
      return state.outputs.map { var one = state; one.outputs = [$0]; return one }
    }
    return [state]
  }

  private func shape(_ state: State) -> PacketShape {
    var shape = hookPacket
    shape.mark = state.mark
    // Of a device that this hook does not know yet, or any more, nothing is known.
    let isOfDevice = table.family == "netdev" || base.hook == 5
    let hook = base.hook ?? 2
    if isOfDevice ? hook != 1 : hook <= 2 { shape.input = .init(state.inputs.map { ($0.name, $0.index) }) }
    if isOfDevice ? hook == 1 : hook >= 2 { shape.output = .init(state.outputs.map { ($0.name, $0.index) }) }
    return shape
  }

  /// What goes on to the next rule.
  private mutating func apply(
    _ rule: FilterRule, of chain: Ruleset.Chain, to state: State, _ ends: inout Ends, depth: Int
  ) -> State? {
    let outcome = rule.evaluate(shape(state), sets: content.sets)
    guard outcome.matches != .never else { return state }
    var taken = state
    var others: State? = outcome.matches == .always ? nil : state
    if let mark = outcome.mark { taken.mark = mark }
    if outcome.matches == .sometimes {
      taken.isOfSome = true
      others?.isOfSome = true
    }
    let decides = taken.mark != state.mark || outcome.rejects || outcome.verdicts.contains { $0 != .proceed }
    if decides, let perPacket = outcome.perPacket {
      taken.perPacket = state.perPacket ?? perPacket
      others?.perPacket = state.perPacket ?? perPacket
    }
    let effect = outcome.packetEffect ?? (path.marksAreRead && taken.mark != state.mark ? "sets the mark" : nil)
    if let effect {
      act(on: state, outcome, object(rule.handle, in: chain.name, effect))
    }
    var next = others
    var leaves = outcome.rejects
    if outcome.rejects {
      drop(taken, object(rule.handle, in: chain.name, "rejects"))
      ends.drops = true
    } else if outcome.verdicts.isEmpty {
      next = taken.merged(next)
    }
    for verdict in outcome.verdicts where !outcome.rejects {
      switch verdict {
      case .proceed: next = taken.merged(next)
      case .accept: ends.accepted = taken.merged(ends.accepted)
      case .return: ends.back = taken.merged(ends.back)
      case .drop:
        drop(taken, object(rule.handle, in: chain.name, "drops"))
        ends.drops = true
      case .other(let effect): act(on: state, outcome, object(rule.handle, in: chain.name, effect))
      case .jump(let name), .goto(let name):
        let inner = enter(name, taken, depth: depth)
        ends.drops = ends.drops || inner.drops
        if let accepted = inner.accepted { ends.accepted = accepted.merged(ends.accepted) }
        if case .goto = verdict {
          leaves = true
          if let back = inner.back { ends.back = back.merged(ends.back) }
        } else {
          if inner.accepted != nil || inner.drops { leaves = true }
          if let back = inner.back { next = back.merged(next) }
        }
      }
      if [.accept, .return, .drop].contains(verdict) { leaves = true }
    }
    next?.isOfSome = state.isOfSome || leaves
    return next
  }

  private mutating func enter(_ name: String, _ state: State, depth: Int) -> Ends {
    let visit = Visit(chain: name, state: state)
    if let known = visits[visit] { return known }
    guard let chain = content.chains[name] else { return Ends(back: state) }
    let ends = walk(chain, state, depth: depth + 1)
    visits[visit] = ends
    return ends
  }
}

extension FilterRule {
  /// Whether it asks for the device by which packets come or go.
  fileprivate var deviceKeys: (input: Bool, output: Bool) {
    var (input, output) = (false, false)
    for case .meta(let key, _) in expressions {
      if key == 4 || key == 6 { input = true }
      if key == 5 || key == 7 { output = true }
    }
    return (input, output)
  }
}

extension Ruleset {
  /// Base chains in the order in which the kernel calls them.
  fileprivate func chains(of families: Set<String>, at hook: UInt32) -> [(
    table: Table, content: Content, chain: Chain
  )] {
    var found: [(table: Table, content: Content, chain: Chain)] = []
    for (table, content) in tables where families.contains(table.family) {
      for chain in content.chains.values where chain.hook == hook { found.append((table, content, chain)) }
    }
    return found.sorted {
      ($0.chain.priority, $0.table.name, $0.chain.name) < ($1.chain.priority, $1.table.name, $1.chain.name)
    }
  }
}
