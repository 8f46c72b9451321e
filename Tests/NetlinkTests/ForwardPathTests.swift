// SPDX-License-Identifier: Apache-2.0
import Foundation
import LinuxSystem
import PacketHeaders
import TestSupport
import Testing

@testable import Netlink

/// What rules as nft(8) and iptables(8) make them ask of the packets that a host forwards between containers and a
/// routed overlay: nothing, that of their connections, or each packet.
@Suite(.enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
struct ForwardPathTests {
  enum Demand: Sendable, Equatable { case nothing, connections, some(String), each(String) }

  struct Case: Sendable, CustomStringConvertible {
    var commands: String
    var demand: Demand
    init(_ commands: String, _ demand: Demand) { (self.commands, self.demand) = (commands, demand) }
    var description: String { commands }
  }

  static func device(_ name: String, _ index: Int32) -> ForwardPath.Device { .init(name: name, index: index) }

  /// flannel's shape: containers on a bridge.
  static let flannel = ForwardPath(
    containers: [device("cni0", 3)], bridgePorts: [device("veth1", 5), device("veth2", 6)],
    overlay: device("flannel.1", 4))
  /// Calico's: a routed port each.
  static let calico = ForwardPath(
    containers: [device("cali1", 5), device("cali2", 6)], overlay: device("vxlan.calico", 4))

  static func nft(_ text: String) throws {
    try shell(["nft", "-f", "-"], input: text.replacingOccurrences(of: "} }", with: "}\n}\n"))
  }

  static func rules(_ text: String) throws -> Ruleset {
    try NetworkNamespace.makeAnonymous().run {
      try nft(text)
      return try NetfilterReader().rules()
    }
  }

  static func check(_ one: Case, _ rules: Ruleset, _ path: ForwardPath) {
    let demand = path.demand(of: rules)
    switch (one.demand, demand) {
    case (.nothing, .nothing), (.connections, .connections): break
    case (.some(let effect), .someConnections(let objection)), (.each(let effect), .eachPacket(let objection)):
      #expect(objection.effect.contains(effect), "\(objection)")
      #expect(!objection.description.isEmpty && objection.name.contains("chain"))
    default: Issue.record("\(demand)")
    }
  }

  static func forward(_ rules: String, policy: String = "accept") -> String {
    RulesetTests.hooked("forward", rules, policy: policy)
  }

  static let kinds: [Case] = [
    // Nothing.
    Case("table ip t { chain c { type filter hook forward priority 0; } }", .nothing),
    Case(forward("accept"), .nothing),
    Case(RulesetTests.hooked("input", "drop"), .nothing),
    Case(forward("iifname \"eth0\" drop"), .nothing),
    Case(forward("udp dport 53 accept"), .nothing),
    // By connection.
    Case(forward("ct state established,related accept\ndrop"), .connections),
    Case(forward("ct state established,related accept", policy: "drop"), .connections),
    Case(forward("ct state vmap { established : accept, related : accept, invalid : drop }", policy: "drop"), .connections),
    Case(forward("ct state invalid drop"), .connections),
    Case(forward("ct state new log\nct state new limit rate 10/second accept\nct state new drop"), .connections),
    Case(forward("tcp flags & (fin|syn|rst|ack) == syn drop"), .connections),
    Case(forward("tcp flags syn tcp option maxseg size set rt mtu"), .connections),
    Case(forward("ip frag-off & 0x1fff != 0 drop"), .connections),
    Case(forward("icmp type echo-request limit rate 1/second accept\nip protocol icmp drop"), .connections),
    Case(forward("counter"), .connections),
    Case(forward("ct mark set 7"), .connections),
    Case(forward("ip saddr 198.18.0.1 accept\nct state established accept\nct state new log"), .connections),
    Case(RulesetTests.hooked("postrouting", "masquerade", kind: "nat"), .connections),
    Case(RulesetTests.hooked("prerouting", "tcp dport 80 dnat to 198.18.0.9", kind: "nat"), .connections),
    Case(RulesetTests.hooked("prerouting", "meta mark set 7"), .connections),
    Case(RulesetTests.hooked("prerouting", "fib saddr . iif oif missing drop"), .connections),
    Case(RulesetTests.hooked("prerouting", "fib saddr . iif oif 0 drop"), .connections),
    // A limit that decides nothing for what is established.
    Case(forward("limit rate 10/second accept\nct state established accept", policy: "drop"), .connections),
    Case(
      "table ip t { chain a { ct state established return\nlog\n}\n"
        + "chain c { type filter hook forward priority 0; jump a\nct state new drop\n} }", .connections),
    Case(
      "table ip t { counter k { }\nchain c { type filter hook forward priority 0; counter name k\n} }", .connections),
    // By connection, of which some are dropped.
    Case(forward("ip saddr 198.18.0.1 drop\nct state established accept", policy: "drop"), .some("drops")),
    Case(forward("udp sport 53 drop"), .some("drops")),
    Case(forward("tcp dport 25 reject"), .some("rejects")),
    Case(forward("ct state new accept", policy: "drop"), .some("drops")),
    Case(forward("iifname \"cni0\" oifname \"flannel.1\" ct state established accept", policy: "drop"), .some("drops")),
    Case(forward("ip daddr 198.18.0.9 log"), .some("logs")),
    Case("table bridge t { chain c { type filter hook input priority 0; ip saddr 198.18.0.1 drop\n} }", .some("drops")),
    // Each packet.
    Case(forward("limit rate over 10/second drop"), .each("drops by a limit")),
    Case(forward("limit rate 10/second accept\ndrop"), .each("drops by a limit")),
    Case(forward("limit rate 10/second accept", policy: "drop"), .each("drops by a limit")),
    Case(forward("quota over 10 mbytes drop"), .each("drops by a quota")),
    Case(
      "table ip t { quota q { over 10 mbytes }\nchain c { type filter hook forward priority 0; quota name \"q\" drop\n} }",
      .each("drops by a quota")),
    Case(
      "table ip t { limit l { rate 10/second }\nchain c { type filter hook forward priority 0; limit name \"l\" accept\ndrop\n} }",
      .each("drops by a limit")),
    Case(forward("ct count over 10 drop"), .each("drops by a limit of connections")),
    Case(forward("ct bytes > 1000000 drop"), .each("drops by a connection's bytes")),
    Case(forward("ct packets > 1000 drop"), .each("drops by a connection's packets")),
    Case(forward("ct expiration < 10s drop"), .each("drops by a connection's expiration")),
    Case(forward("log"), .each("logs")),
    Case(forward("limit rate 1/second log"), .each("logs")),
    Case(forward("dup to 198.18.0.9"), .each("duplicates")),
    Case(forward("ip dscp set cs1"), .each("changes packets")),
    Case(forward("ip ttl set 64"), .each("changes packets")),
    Case(forward("meta priority set 1:2"), .each("notes of packets")),
    Case(forward("ip dscp cs1 drop"), .each("drops by DSCP")),
    Case(forward("ip length > 1000 drop"), .each("drops by the length")),
    Case(forward("meta length > 1000 drop"), .each("drops by the length")),
    Case(forward("ip ttl < 5 drop"), .each("drops by the TTL")),
    Case(forward("ip id 7 drop"), .each("drops by the identification")),
    Case(forward("udp length > 1000 drop"), .each("drops by the transport header")),
    Case(forward("tcp flags psh drop"), .each("drops by the TCP header")),
    Case(forward("@th,160,32 0x01020304 drop"), .each("drops by the payload")),
    Case(forward("tcp option sack-perm exists drop"), .each("drops by options")),
    Case(forward("meta cpu 0 drop"), .each("drops by the CPU")),
    Case(forward("meta random < 1000 drop"), .each("drops by numbers made for each packet")),
    Case(forward("numgen inc mod 10 == 0 drop"), .each("drops by numbers made for each packet")),
    Case(forward("meta hour \"00:00\"-\"23:00\" drop"), .each("drops by the time")),
    Case(
      "table ip t { set s { type ipv4_addr; flags dynamic; }\n"
        + "chain c { type filter hook forward priority 0; add @s { ip saddr limit rate 10/second }\n} }",
      .each("updates a set")),
    Case(
      "table ip t { set s { type ipv4_addr; flags dynamic,timeout; }\n"
        + "chain c { type filter hook forward priority 0; ip saddr @s drop\n} }", .each("drops by set s")),
    Case(RulesetTests.hooked("prerouting", "meta l4proto tcp tproxy to :5000"), .each("redirects to a proxy")),
    Case("table netdev t { chain c { type filter hook ingress device \"lo\" priority 0; drop\n} }", .nothing),
    Case("table bridge t { chain c { type filter hook input priority 0; limit rate over 10/second drop\n} }", .each("a limit")),
    Case(
      "table ip t { chain a { ct state established accept\n}\nchain b { ip dscp cs1 jump a\n}\n"
        + "chain c { type filter hook forward priority 0; policy drop; jump b\n} }", .each("drops by DSCP")),
  ]

  @Test(arguments: kinds) func asks(one: Case) throws {
    Self.check(one, try Self.rules(one.commands), Self.flannel)
  }

  /// iptables' own, by both of its kinds.
  static let tables: [Case] = [
    Case("-P FORWARD ACCEPT\n-A FORWARD -p tcp -j ACCEPT", .nothing),
    Case("-P FORWARD DROP\n-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", .connections),
    Case("-P FORWARD DROP\n-A FORWARD -m state --state ESTABLISHED -j ACCEPT", .connections),
    Case("-A FORWARD -m conntrack --ctstate INVALID -j DROP", .connections),
    Case("-A FORWARD -m conntrack ! --ctstate ESTABLISHED -j DROP", .connections),
    Case("-A FORWARD -m conntrack --ctstate NEW -m limit --limit 5/second -j LOG", .connections),
    Case("-t mangle -A FORWARD -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu", .connections),
    Case("-t raw -A PREROUTING -m rpfilter --invert -j DROP", .connections),
    Case("-t raw -A PREROUTING -i eth0 -j CT --notrack", .nothing),
    Case("-t mangle -A PREROUTING -j MARK --set-xmark 0x1/0xff", .connections),
    Case("-t mangle -A PREROUTING -j CONNMARK --restore-mark", .connections),
    Case("-t nat -A POSTROUTING -j MASQUERADE", .connections),
    Case("-A FORWARD -f -j DROP", .connections),
    Case("-A FORWARD -s 198.18.0.1 -j DROP", .some("drops")),
    Case("-A FORWARD -p tcp --dport 25 -j REJECT", .some("rejects")),
    Case("-A FORWARD -m conntrack --ctstate ESTABLISHED -j DROP", .some("drops")),
    Case("-A FORWARD -m limit --limit 10/second -j ACCEPT\n-A FORWARD -j DROP", .each("drops by a limit")),
    Case("-A FORWARD -m hashlimit --hashlimit-above 10/sec --hashlimit-name x -j DROP", .each("drops by a limit")),
    Case("-A FORWARD -m quota --quota 1000 -j ACCEPT\n-A FORWARD -j DROP", .each("drops by a quota")),
    Case("-A FORWARD -m connbytes --connbytes 1000: --connbytes-dir both --connbytes-mode bytes -j DROP", .each("a connection's bytes")),
    Case("-A FORWARD -m connlimit --connlimit-above 5 -j DROP", .each("a limit of connections")),
    Case("-A FORWARD -m conntrack --ctexpire 1:10 -j DROP", .each("a connection's expiration")),
    Case("-A FORWARD -m length --length 1000: -j DROP", .each("match length")),
    Case("-A FORWARD -m ttl --ttl-lt 5 -j DROP", .each("match ttl")),
    Case("-A FORWARD -m dscp --dscp 8 -j DROP", .each("match dscp")),
    Case("-A FORWARD -m string --algo bm --string abc -j DROP", .each("match string")),
    Case("-A FORWARD -m statistic --mode random --probability 0.5 -j DROP", .each("match statistic")),
    Case("-A FORWARD -p tcp --tcp-flags PSH PSH -j DROP", .each("drops by the TCP header")),
    Case("-A FORWARD -j NFQUEUE --queue-num 0", .each("user space")),
    Case("-A FORWARD -j LOG", .each("logs")),
    Case("-t mangle -A FORWARD -j CLASSIFY --set-class 1:1", .each("CLASSIFY")),
    Case("-t mangle -A FORWARD -j DSCP --set-dscp 8", .each("DSCP")),
    Case("-t mangle -A FORWARD -j TOS --set-tos 8", .each("TOS")),
  ]

  @Test(arguments: tables, ["iptables-nft", "iptables-legacy"]) func asksInIPTables(one: Case, tool: String) throws {
    try NetworkNamespace.makeAnonymous().run {
      for line in one.commands.split(separator: "\n") { try sh("\(tool) -w \(line)") }
      Self.check(one, try NetfilterReader().rules(), Self.flannel)
    }
  }

  /// Chains for each device that end in a drop of the rest, as Calico's, drop nothing of those that are there.
  @Test func chainsByDevice() throws {
    func rules(_ devices: [String]) throws -> Ruleset {
      let chains = devices.map { "chain w-\($0) { ct state established accept\ndrop\n}\n" }.joined()
      let jumps = devices.map { "iifname \"\($0)\" goto w-\($0)\n" }.joined()
      let back = devices.map { "oifname \"\($0)\" goto w-\($0)\n" }.joined()
      return try Self.rules(
        """
        table ip t {
        \(chains)chain from { \(jumps)drop
        }
        chain to { \(back)drop
        }
        chain c { type filter hook forward priority 0
        meta mark set mark and 0xfff0ffff
        iifname "cali*" jump from
        oifname "cali*" jump to
        } }
        """)
    }
    guard case .connections = Self.calico.demand(of: try rules(["cali1", "cali2"])) else {
      Issue.record("\(Self.calico.demand(of: try rules(["cali1", "cali2"])))")
      return
    }
    guard case .someConnections(let objection) = Self.calico.demand(of: try rules(["cali1"])) else {
      Issue.record("a device without a chain")
      return
    }
    #expect(objection.ruleChain == "from" || objection.ruleChain == "to")
  }

  /// A chain sees the mark that one before it set.
  @Test(arguments: [
    ("meta mark set 0x10000", true), ("ip saddr 198.18.0.1 meta mark set 0x10000", false),
    ("ct mark and 0x1 != 0 meta mark set 0x10000", false), ("meta mark set mark or 0x10000", true),
  ]) func marksAreFollowed(prerouting: String, isAccepted: Bool) throws {
    let rules = try Self.rules(
      RulesetTests.hooked("prerouting", prerouting) + "\n"
        + "table ip u { chain c { type filter hook forward priority 0; policy drop; "
        + "meta mark and 0x10000 == 0x10000 accept\n} }")
    switch Self.flannel.demand(of: rules) {
    case .connections: #expect(isAccepted)
    case .someConnections: #expect(!isAccepted)
    case let other: Issue.record("\(other)")
    }
  }

  @Test func aMarkThatSomethingElseReadsIsOfEachPacket() throws {
    let rules = try Self.rules(RulesetTests.hooked("prerouting", "meta mark set 7"))
    var path = Self.flannel
    path.marksAreRead = true
    Self.check(Case("", .each("sets the mark")), rules, path)
    Self.check(
      Case("", .connections), try Self.rules(RulesetTests.hooked("prerouting", "ct state new meta mark set 7")), path)
  }

  /// Addresses that are known to be of containers spare the rules for them.
  @Test func addressesOfContainersAreKnown() throws {
    let rules = try Self.rules(Self.forward("ip saddr 198.18.0.0/16 accept", policy: "drop"))
    var path = Self.flannel
    Self.check(Case("", .some("drops")), rules, path)
    path.here = [AddressPrefix(.v4(v4("198.18.1.0")), length: 24)!]
    path.beyond = [
      AddressPrefix(.v4(v4("198.18.2.0")), length: 24)!, AddressPrefix(.v4(v4("198.18.3.0")), length: 24)!,
    ]
    Self.check(Case("", .connections), rules, path)
    path.beyond.append(AddressPrefix(.v4(v4("198.19.3.0")), length: 24)!)
    Self.check(Case("", .some("drops")), rules, path)
  }

  private static func entry(
    _ source: String, _ port: UInt16, _ destination: String, _ server: UInt16, by backend: String? = nil,
    _ backendPort: UInt16? = nil
  ) -> ConntrackEntry {
    let original = ConntrackTuple(
      source: .v4(v4(source)), destination: .v4(v4(destination)), protocolNumber: 6, sourcePort: port,
      destinationPort: server)
    let reply = ConntrackTuple(
      source: .v4(v4(backend ?? destination)), destination: .v4(v4(source)), protocolNumber: 6,
      sourcePort: backendPort ?? server, destinationPort: port)
    return ConntrackEntry(original: original, reply: reply)
  }

  /// Where some are dropped it is told which.
  @Test(arguments: [
    ("tcp dport 25 drop", "198.18.1.2", "198.18.2.2", UInt16(80), true),
    ("tcp dport 25 drop", "198.18.1.2", "198.18.2.2", 25, false),
    ("tcp sport 25 drop", "198.18.1.2", "198.18.2.2", 25, false),
    ("ip saddr 198.18.1.2 drop", "198.18.1.2", "198.18.2.2", 80, false),
    ("ip saddr 198.18.1.3 drop", "198.18.1.2", "198.18.2.2", 80, true),
    ("ip daddr { 198.18.2.2, 198.18.2.4 } drop", "198.18.1.2", "198.18.2.2", 80, false),
    ("ip daddr { 198.18.2.3, 198.18.2.4 } drop", "198.18.1.2", "198.18.2.2", 80, true),
    ("iifname flannel.1 tcp dport 80 drop", "198.18.1.2", "198.18.2.2", 80, true),
    ("iifname flannel.1 tcp dport 80 drop", "198.18.2.2", "198.18.1.2", 80, false),
    ("tcp dport 81 drop\nct mark 5 drop", "198.18.1.2", "198.18.2.2", 80, false),
    ("tcp dport 81 queue\ntcp dport 82 log", "198.18.1.2", "198.18.2.2", 80, true),
  ]) func acceptsByConnection(rule: String, source: String, destination: String, port: UInt16, isAccepted: Bool) throws {
    var path = Self.flannel
    path.here = [AddressPrefix(.v4(v4("198.18.1.0")), length: 24)!]
    let rules = try Self.rules(Self.forward(rule.replacingOccurrences(of: "queue", with: "log")))
    #expect(path.accepts(Self.entry(source, 40_000, destination, port), rules) == isAccepted)
  }

  /// A service's address is seen before the translation, a backend's behind it.
  @Test(arguments: [
    ("prerouting priority -300", "ip daddr 198.18.9.9 drop", false),
    ("prerouting priority -300", "ip daddr 198.18.2.2 drop", true), ("prerouting", "ip daddr 198.18.9.9 drop", true),
    ("postrouting priority 200", "ip saddr 198.18.9.9 drop", false), ("forward", "ip daddr 198.18.2.2 drop", false),
    ("forward", "ip saddr 198.18.2.2 drop", false), ("forward", "tcp dport 8080 drop", false),
    ("postrouting", "ip saddr 198.18.2.2 drop", false), ("prerouting", "ip daddr 198.18.2.2 drop", false),
    ("forward", "ip daddr 198.18.9.9 drop", true), ("forward", "ip saddr 198.18.9.9 drop", true),
    ("prerouting", "ip daddr 198.18.9.8 drop", true), ("forward", "ip daddr 198.18.2.3 drop", true),
  ]) func acceptsServices(hook: String, rule: String, isAccepted: Bool) throws {
    let text = RulesetTests.hooked(hook, rule)
    let rules = try Self.rules(hook.contains("priority") ? text.replacingOccurrences(of: " priority 0", with: "") : text)
    let entry = Self.entry("198.18.1.2", 40_000, "198.18.9.9", 80, by: "198.18.2.2", 8_080)
    #expect(Self.flannel.accepts(entry, rules) == isAccepted)
  }
}
