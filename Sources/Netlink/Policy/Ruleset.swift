// SPDX-License-Identifier: Apache-2.0
import LinuxSystem

/// The rules of netfilter of one namespace: nftables', iptables-nft's among them, and legacy iptables'.
public struct Ruleset: Sendable, Hashable {
  public struct Table: Sendable, Hashable {
    /// "ip", "ip6", "inet", "arp", "bridge", "netdev".
    public var family: String
    public var name: String
    public var isLegacy = false
    init(family: String, name: String, isLegacy: Bool = false) {
      (self.family, self.name, self.isLegacy) = (family, name, isLegacy)
    }
  }

  public struct Chain: Sendable, Hashable {
    public var name: String
    /// nil where the kernel hands it no packets itself. NF_INET_* for the layer 3 families: 0 prerouting, 1 input,
    /// 2 forward, 3 output, 4 postrouting, 5 ingress (inet). Of "netdev": 0 ingress, 1 egress.
    public var hook: UInt32?
    /// "filter", "nat" (the kernel hands it the first packets of connections alone), "route".
    public var type = "filter"
    /// Chains of one hook get packets in this order.
    public var priority: Int32 = 0
    /// Of a device's hook; "eth*" is every one that begins so.
    public var devices: [String] = []
    public var drops = false
    public var rules: [FilterRule] = []
  }

  struct Content: Sendable, Hashable {
    var chains: [String: Chain] = [:]
    var sets: [String: FilterSet] = [:]
  }

  var tables: [Table: Content] = [:]
  /// Tables that are there and could not be read: anything may be in them.
  var unread: [Table] = []

  public init() {}

  static func family(_ number: UInt8) -> String { names[number] ?? "family \(number)" }
  private static let names: [UInt8: String] = [
    1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6",
  ]

  /// A rule that may do something to the packets that are meant, other than to accept them.
  public struct Objection: Sendable, Hashable, CustomStringConvertible {
    public var table: Table
    public var chain: String
    public var hook: UInt32?
    public var devices: [String]
    /// nil: the chain's policy, or a legacy table's.
    public var rule: UInt64?
    /// In which of the table's chains the rule is.
    public var ruleChain: String
    /// As "drops".
    public var effect: String

    /// "netdev t c", as nft(8) names a chain.
    public var place: String { "\(table.family) \(table.name) \(chain)" }

    /// "ip chain filter INPUT"
    public var name: String {
      "\(table.family) chain \(table.name) \(chain)\(table.isLegacy ? " (iptables-legacy)" : "")"
    }

    /// What it does, and how to look at it or be rid of it.
    public var description: String {
      let tool = table.family == "ip6" ? "ip6tables-legacy" : "iptables-legacy"
      if table.isLegacy { return "\(effect) (`\(tool) -t \(table.name) -S`)" }
      let place = "\(table.family) \(table.name) \(ruleChain)"
      guard let rule else { return "its policy \(effect) what no rule accepts (`nft list chain \(place)`)" }
      return "its rule \(rule)\(ruleChain == chain ? "" : " of \(ruleChain)") \(effect) "
        + "(`nft delete rule \(place) handle \(rule)`)"
    }
  }

  /// The first objection of each chain at one of the hooks, in the families given.
  public func objections(
    to packet: PacketShape, families: Set<String>, hooks: Set<UInt32>, device: ((String) -> Bool)? = nil
  ) -> [Objection] {
    var found: [Objection] = []
    for (table, content) in tables where families.contains(table.family) {
      for chain in content.chains.values {
        guard let hook = chain.hook, hooks.contains(hook) else { continue }
        if let device, !chain.devices.contains(where: device) { continue }
        var walk = RuleWalk(table: table, content: content, packet: packet.at(hook, of: table.family))
        if let objection = walk.objection(of: chain) { found.append(objection) }
      }
    }
    for table in unread where families.contains(table.family) {
      found.append(
        Objection(
          table: table, chain: "", hook: nil, devices: [], rule: nil, ruleChain: "",
          effect: "cannot be read and may do anything"))
    }
    return found.sorted { ($0.name, $0.rule ?? 0) < ($1.name, $1.rule ?? 0) }
  }
}

/// Through a chain and those that it calls.
private struct RuleWalk {
  let table: Ruleset.Table
  let content: Ruleset.Content
  let packet: PacketShape
  /// Of chains that were walked already: whether packets may come back from them, and whether they must.
  private var walked: [String: (objection: Ruleset.Objection?, comesBack: Certainty)] = [:]
  private var base: Ruleset.Chain

  init(table: Ruleset.Table, content: Ruleset.Content, packet: PacketShape) {
    (self.table, self.content, self.packet) = (table, content, packet)
    base = Ruleset.Chain(name: "")
  }

  mutating func objection(of chain: Ruleset.Chain) -> Ruleset.Objection? {
    base = chain
    let (objection, ends) = walk(chain, depth: 0)
    if let objection { return objection }
    return chain.drops && ends != .never ? object(nil, in: chain.name, "drops") : nil
  }

  private func object(_ rule: UInt64?, in chain: String, _ effect: String) -> Ruleset.Objection {
    Ruleset.Objection(
      table: table, chain: base.name, hook: base.hook, devices: base.devices, rule: rule, ruleChain: chain,
      effect: effect)
  }

  /// Whether packets get to its end, or return from it.
  private mutating func walk(_ chain: Ruleset.Chain, depth: Int) -> (Ruleset.Objection?, Certainty) {
    // As deep as the kernel lets chains be (NFT_JUMP_STACK_SIZE).
    guard depth <= 16 else { return (object(nil, in: chain.name, "is too deep to follow and may do anything"), .always) }
    /// Some have left the chain on the way, or all.
    var stays = Certainty.always
    /// Whether some have returned early.
    var returned = false
    for rule in chain.rules {
      let outcome = rule.evaluate(packet, sets: content.sets)
      guard outcome.matches != .never else { continue }
      if let effect = outcome.effect { return (object(rule.handle, in: chain.name, effect), stays) }
      for verdict in outcome.verdicts {
        let isCertain = outcome.matches == .always && outcome.verdicts.count == 1
        switch verdict {
        case .proceed: break
        case .drop: return (object(rule.handle, in: chain.name, "drops"), stays)
        case .other(let effect): return (object(rule.handle, in: chain.name, effect), stays)
        case .accept: stays = isCertain ? .never : .sometimes
        case .return:
          returned = true
          stays = isCertain ? .never : .sometimes
        case .jump(let name), .goto(let name):
          let (objection, comesBack) = enter(name, depth: depth)
          if let objection { return (objection, stays) }
          if case .goto = verdict {
            if comesBack != .never { returned = true }
            stays = isCertain ? .never : .sometimes
          } else if comesBack != .always {
            stays = isCertain && comesBack == .never ? .never : .sometimes
          }
        }
      }
      if stays == .never { return (nil, returned ? .sometimes : .never) }
    }
    return (nil, stays)
  }

  private mutating func enter(_ name: String, depth: Int) -> (Ruleset.Objection?, Certainty) {
    if let known = walked[name] { return known }
    guard let chain = content.chains[name] else { return (nil, .always) }
    let result = walk(chain, depth: depth + 1)
    walked[name] = result
    return result
  }
}
