// SPDX-License-Identifier: Apache-2.0
import Foundation
import LinuxSystem
import PacketHeaders
import TestSupport
import Testing

@testable import Netlink

/// Rules as nft(8) and iptables(8) make them, and whether they stand against an overlay's packets.
@Suite(.enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
struct RulesetTests {
  struct Case: Sendable, CustomStringConvertible {
    var commands: String
    /// In what is said of it; nil where nothing stands against the packets.
    var effect: String?
    init(_ commands: String, _ effect: String?) { (self.commands, self.effect) = (commands, effect) }
    var description: String { commands }
  }

  /// VXLAN from 198.18.0.1 to 198.18.0.2 and .3 by eth9, and back.
  private func objections(_ rules: Ruleset) -> [Ruleset.Objection] {
    let (mine, others) = ([ip("198.18.0.1")], [ip("198.18.0.2"), ip("198.18.0.3")])
    let uplink = (name: "eth9", index: Int32(9))
    let leaving = PacketShape.vxlan(from: mine, to: others, ports: [4789], uplink: uplink, isLeaving: true)
    let arriving = PacketShape.vxlan(from: others, to: mine, ports: [4789], uplink: uplink, isLeaving: false)
    return rules.objections(to: leaving, families: ["ip", "inet"], hooks: [3, 4])
      + rules.objections(to: arriving, families: ["ip", "inet"], hooks: [0, 1])
  }

  /// Over IPv6 the same of ip6's addresses and headers; chains of IPv4 are no matter.
  @Test(arguments: [
    ("ip6 daddr 2001:2:0:1::2 udp dport 4789 drop", true), ("ip6 daddr 2001:2:0:2::/64 drop", false),
    ("ip6 nexthdr tcp drop", false), ("ip6 saddr 2001:2:0:1::/64 drop", true), ("udp dport 4790 drop", false),
    ("meta nfproto ipv4 drop", false),
  ])
  func rulesAboutVXLANOverIPv6(rule: String, matches: Bool) throws {
    try NetworkNamespace.makeAnonymous().run {
      let hook = "type filter hook output priority 0;"
      _ = try sh("nft add table ip t; nft 'add chain ip t c { \(hook) }'; nft add rule ip t c drop")
      _ = try sh("nft add table inet t; nft 'add chain inet t c { \(hook) }'; nft add rule inet t c \(rule)")
      let shape = PacketShape.vxlan(
        from: [ip("2001:2:0:1::1")], to: [ip("2001:2:0:1::2")], ports: [4789], uplink: ("eth9", 9), isLeaving: true)
      let found = try NetfilterReader().rules().objections(to: shape, families: ["ip6", "inet"], hooks: [3, 4])
      #expect(found.isEmpty != matches, "\(found)")
    }
  }

  private func check(_ one: Case, _ tool: (String) throws -> Void, _ judge: (Ruleset) -> [Ruleset.Objection])
    throws
  {
    try NetworkNamespace.makeAnonymous().run {
      try tool(one.commands)
      let objections = judge(try NetfilterReader().rules())
      if let effect = one.effect {
        #expect(objections.contains { $0.effect.contains(effect) }, "\(objections)")
      } else {
        #expect(objections.isEmpty, "\(one): \(objections)")
      }
    }
  }

  /// A bracket ends a line, but those of sets.
  private func nft(_ text: String) throws {
    try shell(["nft", "-f", "-"], input: text.replacingOccurrences(of: "} }", with: "}\n}\n"))
  }

  /// A table of these chains at the hooks that VXLAN passes; `input` etc. are their rules.
  static func hooked(_ hook: String, _ rules: String, policy: String = "accept", kind: String = "filter") -> String {
    "table ip t { chain c { type \(kind) hook \(hook) priority 0; policy \(policy);\n\(rules)\n} }"
  }

  static let outside: [Case] = [
    Case("table ip t { chain c { type filter hook input priority 0; } }", nil),
    Case(hooked("input", "drop"), "drops"),
    Case(hooked("input", "", policy: "drop"), "drops"),
    Case(hooked("input", "udp dport 4789 accept", policy: "drop"), nil),
    Case(hooked("input", "udp dport { 53, 4789 } accept", policy: "drop"), nil),
    Case(hooked("input", "udp dport { 53, 67-68 } accept", policy: "drop"), "drops"),
    Case(hooked("input", "udp dport { 53, 67-68 } drop"), nil),
    Case(hooked("input", "udp dport { 53, 4000-5000 } drop"), "drops"),
    Case(hooked("input", "udp dport 4789 ip saddr 198.18.0.2 accept", policy: "drop"), "drops"),
    Case(hooked("input", "ip saddr 198.18.0.0/24 udp dport 4789 accept", policy: "drop"), nil),
    Case(hooked("input", "ip saddr { 198.18.0.2, 198.18.0.3 } accept", policy: "drop"), "drops"),
    Case(hooked("input", "ct state established,related accept", policy: "drop"), "drops"),
    Case(hooked("input", "ct state invalid drop"), nil),
    Case(hooked("input", "ct state new drop"), "drops"),
    Case(hooked("input", "ct state vmap { invalid : drop, established : accept }"), nil),
    Case(hooked("input", "ct state vmap { new : drop, established : accept }"), "drops"),
    Case(hooked("input", "tcp dport 22 drop\nip protocol icmp drop\nmeta l4proto sctp reject"), nil),
    Case(hooked("input", "iifname \"eth8\" drop\niifname \"docker*\" drop"), nil),
    Case(hooked("input", "iifname != \"eth8\" drop"), "drops"),
    Case(hooked("input", "ip daddr 10.0.0.0/8 drop\nip saddr != 198.18.0.0/16 drop"), nil),
    Case(hooked("input", "ip ttl < 2 drop"), "drops"),
    Case(hooked("input", "ip frag-off & 0x1fff != 0 drop"), nil),
    Case(hooked("input", "udp dport > 5000 drop\nudp dport 1-4788 drop"), nil),
    Case(hooked("input", "udp sport 1-1023 drop"), "drops"),
    Case(hooked("input", "meta mark 7 drop"), nil),
    Case(hooked("input", "meta mark != 7 drop"), "drops"),
    Case(hooked("input", "counter accept\ndrop"), nil),
    Case(hooked("input", "counter"), "counts"),
    Case(hooked("input", "limit rate 10/second accept\ndrop"), "drops"),
    Case(hooked("input", "log accept"), "logs"),
    Case(hooked("input", "udp sport 0-65535 udp dport 4789 accept", policy: "drop"), nil),
    Case(hooked("input", "reject"), "rejects"),
    Case(hooked("input", "ip dscp set cs1"), "changes packets"),
    Case(hooked("prerouting", "notrack"), nil),
    Case(hooked("prerouting", "meta mark set 7"), "mark"),
    Case(hooked("output", "oifname \"eth9\" drop"), "drops"),
    Case(hooked("output", "ip daddr 198.18.0.3 drop"), "drops"),
    Case(hooked("output", "ip daddr 198.18.0.4/30 drop"), nil),
    Case(hooked("forward", "drop"), nil),
    Case(hooked("postrouting", "ip saddr 172.17.0.0/16 oifname != \"docker0\" masquerade", kind: "nat"), nil),
    Case(hooked("postrouting", "masquerade", kind: "nat"), "translates"),
    Case(hooked("postrouting", "udp dport 4789 snat to 198.18.0.9", kind: "nat"), "translates"),
    Case(hooked("prerouting", "udp dport 4789 redirect to :5", kind: "nat"), "redirects"),
    Case(hooked("prerouting", "fib daddr type local tcp dport 80 dnat to 10.0.0.1", kind: "nat"), nil),
    Case(
      "table ip t { chain a { drop\n}\nchain b { udp dport 53 jump a\nreturn\n}\n"
        + "chain c { type filter hook input priority 0; jump b\n} }", nil),
    Case(
      "table ip t { chain a { drop\n}\nchain b { udp dport 4789 goto a\n}\n"
        + "chain c { type filter hook input priority 0; jump b\n} }", "drops"),
    Case(
      "table ip t { chain a { accept\n}\nchain c { type filter hook input priority 0; policy drop; jump a\n} }", nil),
    Case(
      "table ip t { chain a { return\n}\nchain c { type filter hook input priority 0; policy drop; jump a\n} }",
      "drops"),
    Case("table inet t { chain c { type filter hook input priority 0; meta nfproto ipv6 drop\n} }", nil),
    Case("table inet t { chain c { type filter hook input priority 0; udp dport 4789 drop\n} }", "drops"),
    Case("table ip6 t { chain c { type filter hook input priority 0; drop\n} }", nil),
    Case(
      "table ip t { set s { type ipv4_addr; elements = { 198.18.0.2 }\n}\n"
        + "chain c { type filter hook input priority 0; ip saddr @s drop\n} }", "drops"),
    Case(
      "table ip t { set s { type ipv4_addr; elements = { 10.0.0.1 }\n}\n"
        + "chain c { type filter hook input priority 0; ip saddr @s drop\n} }", nil),
    Case(
      "table ip t { set s { type ipv4_addr; flags dynamic,timeout; }\n"
        + "chain c { type filter hook input priority 0; ip saddr @s drop\n} }", "drops"),
  ]

  @Test(arguments: outside) func standsAgainstVXLAN(one: Case) throws {
    try check(one, { try nft($0) }, objections)
  }

  /// As Docker, kube-proxy and flannel make them, a line for each; both kinds of iptables.
  static let tables: [Case] = [
    Case(
      """
      -t nat -N DOCKER
      -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
      -t nat -A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
      -t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
      -t nat -A DOCKER -i docker0 -j RETURN
      -t nat -A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
      -N DOCKER-USER
      -A FORWARD -j DOCKER-USER
      -P FORWARD DROP
      """, nil),
    Case(
      """
      -t nat -N DOCKER
      -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
      -t nat -A DOCKER -p udp -m udp --dport 4789 -j DNAT --to-destination 172.17.0.2:80
      """, "translates"),
    Case(
      """
      -t nat -N KUBE-POSTROUTING
      -t nat -N KUBE-SERVICES
      -t nat -N KUBE-MARK-MASQ
      -t nat -N KUBE-SVC
      -t nat -A PREROUTING -m comment --comment portals -j KUBE-SERVICES
      -t nat -A OUTPUT -m comment --comment portals -j KUBE-SERVICES
      -t nat -A POSTROUTING -m comment --comment rules -j KUBE-POSTROUTING
      -t nat -A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
      -t nat -A KUBE-SERVICES -d 10.96.0.10/32 -p udp -m udp --dport 53 -j KUBE-SVC
      -t nat -A KUBE-SVC ! -s 10.244.0.0/16 -j KUBE-MARK-MASQ
      -t nat -A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
      -t nat -A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
      -t nat -A KUBE-POSTROUTING -j MASQUERADE
      -t nat -A POSTROUTING -s 10.244.0.0/16 -d 10.244.0.0/16 -j RETURN
      -t nat -A POSTROUTING -s 10.244.0.0/16 ! -d 224.0.0.0/4 -j MASQUERADE
      -t nat -A POSTROUTING ! -s 10.244.0.0/16 -d 10.244.0.0/16 -j MASQUERADE
      -A INPUT -m mark --mark 0x8000/0x8000 -j DROP
      -A OUTPUT ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP
      """, nil),
    Case("-t nat -A POSTROUTING -j MASQUERADE", "translates"),
    Case("-A INPUT -m conntrack --ctstate INVALID -j DROP", nil),
    Case("-A INPUT -m conntrack --ctstate NEW -j DROP", "drops"),
    Case("-A INPUT -p udp -m multiport --dports 53,67 -j DROP", nil),
    Case("-A INPUT -p udp -m multiport --dports 53,4789 -j DROP", "drops"),
    Case("-A INPUT -p udp -m multiport --dports 53,4000:5000 -j DROP", "drops"),
    Case("-t mangle -A PREROUTING -j MARK --set-xmark 0x0/0xff", nil),
    Case("-t mangle -A PREROUTING -j MARK --set-xmark 0x1/0xff", "mark"),
    Case("-t raw -A PREROUTING -p udp --dport 4789 -j CT --notrack", nil),
    Case("-P INPUT DROP", "drops"),
    Case("-P INPUT DROP\n-A INPUT -p udp --dport 4789 -j ACCEPT", nil),
    Case("-A INPUT -p tcp -j REJECT\n-A INPUT -i eth8 -j DROP\n-A INPUT -i docker+ -j DROP", nil),
    Case("-A INPUT ! -i lo -j DROP", "drops"),
    Case("-A INPUT -p udp --dport 4789", "counts"),
    Case("-A INPUT -m ttl --ttl-lt 2 -j DROP", "drops"),
    Case("-N X\n-A X -j DROP\n-A INPUT -p udp --dport 4789 -g X", "drops"),
    Case("-N X\n-A X -j RETURN\n-A INPUT -j X\n-A INPUT -j ACCEPT\n-A INPUT -j DROP", nil),
  ]

  @Test(arguments: tables, ["iptables-nft", "iptables-legacy"]) func standsAgainstVXLANInIPTables(
    one: Case, tool: String
  ) throws {
    try check(
      one,
      { commands in
        for line in commands.split(separator: "\n") { try sh("\(tool) -w \(line)") }
      }, objections)
  }

  /// What a bridge forwards, as rules of layer 3 and of the bridge see it.
  static let inside: [Case] = [
    Case(hooked("forward", "iifname \"eth9\" drop"), nil),
    Case(hooked("forward", "iifname \"br0\" drop"), "drops"),
    Case(hooked("forward", "ct state invalid drop"), "drops"),
    Case(hooked("forward", "ip saddr 10.0.0.1 drop"), "drops"),
    Case(hooked("forward", "ct state established accept"), nil),
    Case(hooked("input", "drop"), nil),
    Case(hooked("output", "drop"), nil),
    Case(hooked("postrouting", "masquerade", kind: "nat"), "translates"),
    Case("table bridge t { chain c { type filter hook forward priority 0; ether type arp drop\n} }", nil),
    Case("table bridge t { chain c { type filter hook forward priority 0; ether type ip drop\n} }", "drops"),
    Case("table bridge t { chain c { type filter hook forward priority 0; tcp dport 22 drop\n} }", "drops"),
    Case("table bridge t { chain c { type filter hook input priority 0; drop\n} }", nil),
    Case("table bridge t { chain c { type filter hook forward priority 0; iifname \"eth9\" drop\n} }", nil),
    Case("table bridge t { chain c { type filter hook forward priority 0; iifname \"va1\" drop\n} }", "drops"),
    Case(
      "table bridge t { chain c { type filter hook forward priority 0; ether daddr & 01:00:00:00:00:00 == 01:00:00:00:00:00 drop\n} }",
      nil),
  ]

  /// Of packets whose source is not their destination: Docker's rule for what a container sends to its own published port
  /// is about others.
  static let toItself: [Case] = [
    Case(hooked("postrouting", "ip saddr 198.19.0.1 ip daddr 198.19.0.1 tcp dport 80 masquerade", kind: "nat"), nil),
    Case(hooked("postrouting", "ip daddr 198.19.0.1 tcp dport 80 ip saddr 198.19.0.1 masquerade", kind: "nat"), nil),
    Case(
      hooked("postrouting", "ip saddr 198.19.0.1 ip daddr 198.19.0.2 tcp dport 80 masquerade", kind: "nat"), "translates"),
    Case(hooked("postrouting", "ip saddr 198.19.0.0/24 ip daddr 198.19.0.0/24 masquerade", kind: "nat"), "translates"),
    Case(hooked("forward", "ip saddr 198.19.0.1 ip daddr != 198.19.0.1 drop"), "drops"),
    Case(hooked("forward", "ip saddr { 198.19.0.1, 198.19.0.2 } ip daddr 198.19.0.1 drop"), "drops"),
    Case(hooked("forward", "ip saddr 198.19.0.1 drop"), "drops"),
  ]

  @Test(arguments: toItself) func standsAgainstWhatGoesToOthers(one: Case) throws {
    func objections(_ rules: Ruleset, endsDiffer: Bool) -> [Ruleset.Objection] {
      let bridge = [(name: "br0", index: Int32(1))]
      return rules.objections(
        to: .bridged(isIPv4: true, input: bridge, output: bridge, endsDiffer: endsDiffer), families: ["ip", "inet"],
        hooks: [0, 2, 4])
    }
    try check(
      one, { try nft($0) },
      { rules in
        #expect(!objections(rules, endsDiffer: false).isEmpty)
        return objections(rules, endsDiffer: true)
      })
  }

  @Test func iptablesRulesAboutOneAddressAreReadToo() throws {
    for tool in ["iptables-nft", "iptables-legacy"] {
      try NetworkNamespace.makeAnonymous().run {
        guard (try? sh("\(tool) -w -t nat -S")) != nil else { return }
        try sh(
          "\(tool) -w -t nat -A POSTROUTING -s 198.19.0.1/32 -d 198.19.0.1/32 -p tcp -m tcp --dport 80 -j MASQUERADE")
        let bridge = [(name: "br0", index: Int32(1))]
        let rules = try NetfilterReader().rules()
        for endsDiffer in [true, false] {
          let found = rules.objections(
            to: .bridged(isIPv4: true, input: bridge, output: bridge, endsDiffer: endsDiffer), families: ["ip"],
            hooks: [4])
          #expect(found.isEmpty == endsDiffer, "\(tool): \(found)")
        }
      }
    }
  }

  @Test(arguments: inside) func standsAgainstWhatABridgeForwards(one: Case) throws {
    try check(
      one, { try nft($0) },
      { rules in
        let bridge = [(name: "br0", index: Int32(1))]
        let ports = [(name: "va1", index: Int32(3)), (name: "vx0", index: Int32(2))]
        return rules.objections(
          to: .bridged(isIPv4: true, input: bridge, output: bridge), families: ["ip", "inet"], hooks: [0, 2, 4])
          + rules.objections(
            to: .bridged(isIPv4: true, input: ports, output: ports), families: ["bridge"], hooks: [0, 2, 4])
      })
  }

  /// Chains of a device's own hooks, whichever family they are of.
  @Test(arguments: ["netdev ingress", "netdev egress", "inet ingress"]) func standsAtADevice(kind: String) throws {
    let words = kind.split(separator: " ")
    try NetworkNamespace.makeAnonymous().run {
      try sh("ip link add va1 type veth peer name vb1")
      try nft(
        "table \(words[0]) t { chain c { type filter hook \(words[1]) device \"va1\" priority 0; counter\n} }")
      let rules = try NetfilterReader().rules()
      let port = [(name: "va1", index: Int32(3))]
      let packets = PacketShape.bridged(isIPv4: true, input: port, output: port)
      let hook: UInt32 = kind == "inet ingress" ? 5 : words[1] == "egress" ? 1 : 0
      func objections(_ device: String) -> [Ruleset.Objection] {
        rules.objections(to: packets, families: [String(words[0])], hooks: [hook]) { $0 == device }
      }
      #expect(objections("va1").map(\.effect) == ["counts"])
      #expect(objections("vb1").isEmpty)
    }
  }

  /// A rule more is seen, and where nothing changed nothing is read.
  @Test func followsTheGeneration() throws {
    try NetworkNamespace.makeAnonymous().run {
      let reader = NetfilterReader()
      #expect(try reader.rules() == Ruleset())
      try nft(Self.hooked("input", "drop"))
      let objection = try #require(objections(try reader.rules()).first)
      #expect(objection.description.contains("nft delete rule ip t c handle"))
      // The command that is named is one that works.
      let command = objection.description.split(separator: "`")[1]
      try sh(String(command))
      #expect(objections(try reader.rules()).isEmpty)
    }
  }
}
