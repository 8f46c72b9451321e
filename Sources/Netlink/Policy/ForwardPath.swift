// SPDX-License-Identifier: Apache-2.0
import PacketHeaders

/// What the rules of a namespace ask of packets that it forwards between containers and an overlay: which of them must
/// pass the rules, if others are to pass them by.
public enum ForwardDemand: Sendable, Hashable {
  /// No rule does more to any packet than to accept it.
  case nothing
  /// Rules decide by connection, and accept what belongs to an established one: such packets may pass them by, all
  /// others must not. The first rule that says so, for a message.
  case connections(Ruleset.Objection)
  /// The same, but some rule drops packets of established connections by addresses, ports or devices: a connection may
  /// pass the rules by only where `ForwardPath.accepts` says so.
  case someConnections(Ruleset.Objection)
  /// A rule looks at each packet, or does something to each: none may pass it by.
  case eachPacket(Ruleset.Objection)
}

/// The way of packets through the netfilter hooks of a namespace that routes between containers and an overlay.
///
/// Meant are those that a fast path by connections takes: IPv4 or IPv6, TCP without SYN, FIN and RST, and UDP; whole,
/// without IP options; of connections that conntrack holds as established, whose source is not translated; arriving where
/// a packet back would leave (rules that drop others, as rpfilter's, never match).
public struct ForwardPath: Sendable, Hashable {
  public struct Device: Sendable, Hashable {
    public var name: String
    public var index: Int32
    public init(name: String, index: Int32) { (self.name, self.index) = (name, index) }
  }

  public var isIPv4: Bool
  /// By which layer 3 reaches the containers: bridges, or ports that are routed themselves.
  public var containers: [Device]
  /// Ports of those bridges, as the bridge's own chains see them.
  public var bridgePorts: [Device]
  public var overlay: Device
  /// Where containers of this host and those behind the overlay have their addresses; empty where that is not known.
  public var here: [AddressPrefix] = []
  public var beyond: [AddressPrefix] = []
  /// Something else than rules reads the mark of forwarded packets: a tc filter, a routing rule.
  public var marksAreRead = false

  public init(isIPv4: Bool = true, containers: [Device], bridgePorts: [Device] = [], overlay: Device) {
    self.isIPv4 = isIPv4
    self.containers = containers
    self.bridgePorts = bridgePorts
    self.overlay = overlay
  }

  /// The single question: what do these rules ask for?
  ///
  /// Cost: each rule is looked at some times for each container device; some milliseconds for a cluster's rules.
  public func demand(of rules: Ruleset) -> ForwardDemand {
    guard let first = firstObjection(rules) else { return .nothing }
    var refusal: Ruleset.Objection?
    for leg in legs {
      for protocolNumber in [UInt8(6), 17] {
        let packet = shape(protocolNumber, leg)
        var walk = ForwardWalk(path: self, leg: leg, arriving: packet, routed: packet, leaving: packet)
        walk.run(rules)
        if let objection = walk.eachPacket { return .eachPacket(objection) }
        refusal = refusal ?? walk.refusal
      }
    }
    return refusal.map { .someConnections($0) } ?? .connections(first)
  }

  /// Whether the rules certainly accept what belongs to this connection in both directions, now that it is established.
  public func accepts(_ entry: ConntrackEntry, _ rules: Ruleset) -> Bool {
    let here = here
    func isHere(_ address: IPAddress) -> Bool? { here.isEmpty ? nil : here.contains { $0.contains(address) } }
    for isReply in [false, true] {
      let tuple = isReply ? entry.reply : entry.original
      let translated = isReply ? entry.original.reversed : entry.reply.reversed
      for leg in legs {
        // Another leg's devices are not this connection's.
        if let source = isHere(tuple.source), source != leg.isFromContainer { continue }
        if let end = isHere(translated.destination), end != leg.isToContainer { continue }
        // The destination is translated on the way in, an answer's source on the way out.
        let arriving = shape(tuple, leg)
        let leaving = shape(translated, leg)
        var walk = ForwardWalk(
          path: self, leg: leg, arriving: arriving, routed: isReply ? arriving : leaving, leaving: leaving)
        walk.run(rules)
        if walk.eachPacket != nil || walk.refusal != nil { return false }
      }
    }
    return true
  }

  /// By which devices packets come and go.
  struct Leg {
    var inputs: [Device]
    var outputs: [Device]
    var isFromContainer: Bool
    var isToContainer: Bool
  }

  var legs: [Leg] {
    [
      Leg(inputs: containers, outputs: [overlay], isFromContainer: true, isToContainer: false),
      Leg(inputs: [overlay], outputs: containers, isFromContainer: false, isToContainer: true),
      Leg(inputs: containers, outputs: containers, isFromContainer: true, isToContainer: true),
    ]
  }

  private func shape(_ protocolNumber: UInt8, _ leg: Leg) -> PacketShape {
    .established(
      isIPv4: isIPv4, protocolNumber: protocolNumber, sources: leg.isFromContainer ? here : beyond)
  }

  private func shape(_ tuple: ConntrackTuple, _ leg: Leg) -> PacketShape {
    var shape = shape(tuple.protocolNumber, leg)
    shape.knows(tuple)
    return shape
  }

  static let hooks: Set<UInt32> = [0, 2, 4]
  /// To the router, and from it.
  static let bridgeHooks: Set<UInt32> = [0, 1, 3, 4]

  /// A rule that does more than accept, to any packet on the way.
  private func firstObjection(_ rules: Ruleset) -> Ruleset.Objection? {
    func named(_ devices: [Device]) -> [(name: String, index: Int32)] { devices.map { ($0.name, $0.index) } }
    let routed = PacketShape.bridged(
      isIPv4: isIPv4, input: named(containers + [overlay]), output: named(containers + [overlay]))
    let bridged = PacketShape.bridged(isIPv4: isIPv4, input: named(bridgePorts), output: named(bridgePorts))
    let all = containers + bridgePorts + [overlay]
    let isBound = { (chain: String) in all.contains { $0.isMeant(by: chain) } }
    return rules.objections(to: routed, families: families, hooks: Self.hooks).first
      ?? rules.objections(to: bridged, families: bridgePorts.isEmpty ? [] : ["bridge"], hooks: Self.bridgeHooks).first
      ?? rules.objections(to: routed, families: ["netdev"], hooks: [0, 1], device: isBound).first
      ?? rules.objections(to: routed, families: ["inet"], hooks: [5], device: isBound).first
  }

  var families: Set<String> { [isIPv4 ? "ip" : "ip6", "inet"] }
}

extension ForwardPath.Device {
  /// A chain's device, "eth*" for those that begin so.
  public func isMeant(by chain: String) -> Bool {
    chain.last == "*" ? name.hasPrefix(chain.dropLast()) : name == chain
  }
}

extension PacketShape {
  /// What a fast path by connections takes.
  static func established(
    isIPv4: Bool, protocolNumber: UInt8, sources: [AddressPrefix]
  ) -> PacketShape {
    var shape = PacketShape.bridged(isIPv4: isIPv4, input: [], output: [])
    shape.protocolNumber = protocolNumber
    shape.returnsByInput = true
    // NF_CT_STATE_BIT(IP_CT_ESTABLISHED) alone.
    shape.connectionState = PacketBits([2, 0, 0, 0])
    if isIPv4 {
      shape.network.set([0x45], at: 0)
      // No fragment; IP_DF may be either.
      for bit in 0..<8 where bit != 6 { shape.network.setBit(1 << bit, of: 6, to: false) }
      shape.network.set([0], at: 7)
    }
    shape.network.set([protocolNumber], at: isIPv4 ? 9 : 6)
    if protocolNumber == 6 {
      // FIN, SYN, RST
      for bit in 0..<3 { shape.transport.setBit(1 << bit, of: 13, to: false) }
    }
    // The destination may be another's before it is translated.
    shape.knows(sources, at: isIPv4 ? 12 : 8)
    return shape
  }

  /// The bits that addresses of all these prefixes have in common.
  private mutating func knows(_ prefixes: [AddressPrefix], at offset: Int) {
    guard let first = prefixes.first else { return }
    let common = prefixes.dropFirst().reduce(PacketBits(first)) { $0.common(with: PacketBits($1)) }
    network.set(common, at: offset)
  }

  mutating func knows(_ tuple: ConntrackTuple) {
    network.set(tuple.source.octets, at: isIPv4 ? 12 : 8)
    network.set(tuple.destination.octets, at: isIPv4 ? 16 : 24)
    for (port, place) in [(tuple.sourcePort, 0), (tuple.destinationPort, 2)] {
      transport.set([UInt8(port >> 8), UInt8(port & 0xff)], at: place)
    }
  }
}

extension PacketBits {
  fileprivate init(_ prefix: AddressPrefix) {
    let octets = prefix.address.octets
    self.init(unknown: octets.count)
    for (place, mask) in prefix.mask.enumerated() {
      for bit in 0..<8 where mask & (1 << bit) != 0 {
        setBit(1 << bit, of: place, to: octets[place] & (1 << bit) != 0)
      }
    }
  }
}
