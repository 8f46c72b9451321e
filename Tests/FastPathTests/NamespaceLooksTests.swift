// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import Netlink
import PacketHeaders
import TestSupport
import Testing

@testable import FastPath

/// What overlays of a namespace look up together: not older than each may have it, and never another namespace's.
@Suite(.serialized, .enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
struct NamespaceLooksTests {
  private static let hour: UInt64 = 3_600_000_000_000

  /// A namespace with a veth pair, and how it is looked at.
  private struct Place {
    let node: TestNode
    let looks: NamespaceLooks
    let connection: Box<RouteConnection>
    let identity: NetworkNamespace.Identity

    init(_ looks: NamespaceLooks) throws {
      self.looks = looks
      node = try TestNode()
      (connection, identity) = try node.run {
        try shell("ip", "link", "add", "x0", "type", "veth", "peer", "name", "x1")
        return (Box(try RouteConnection()), try NetworkNamespace.current().identity)
      }
    }

    func shaped(age: UInt64) throws -> Int {
      try node.run { try looks.look(identity, connection, age: age).disciplines.count }
    }
    func ruled(age: UInt64) throws -> Bool {
      try node.run { try looks.look(identity, connection, age: age).rules != Ruleset() }
    }
    func routed(age: UInt64, isIPv6: Bool = false) throws -> Int {
      try node.run { try looks.underlayLook(identity, isIPv6: isIPv6, connection, age: age).routingRules.count }
    }
  }

  @Test func aLookIsSharedWhileItIsYoungEnough() throws {
    let place = try Place(NamespaceLooks())
    let (disciplines, rules) = (try place.shaped(age: 0), try place.routed(age: 0))
    #expect(try !place.ruled(age: 0))
    try place.node.shell("tc qdisc add dev x0 root tbf rate 1mbit burst 10kb latency 10ms")
    try place.node.shell("nft add table ip t; add chain ip t c { type filter hook forward priority 0; policy drop; }")
    try place.node.shell("ip rule add pref 99 lookup 99")
    #expect(try place.shaped(age: Self.hour) == disciplines && !place.ruled(age: Self.hour))
    #expect(try place.routed(age: Self.hour) == rules)
    #expect(try place.shaped(age: 0) == disciplines + 1 && place.ruled(age: 0))
    #expect(try place.routed(age: 0) == rules + 1)
    // What one has seen, all have.
    #expect(try place.shaped(age: Self.hour) == disciplines + 1 && place.ruled(age: Self.hour))
    #expect(try place.routed(age: Self.hour) == rules + 1)
  }

  /// What was announced is not taken back by a look from before.
  @Test(arguments: [false, true]) func rulesThatAreReadAnewAreWhatIsKnown(isIPv6: Bool) throws {
    let place = try Place(NamespaceLooks())
    let rules = try place.routed(age: 0, isIPv6: isIPv6)
    try place.node.shell("ip \(isIPv6 ? "-6" : "-4") rule add pref 99 lookup 99")
    let read = try place.node.run {
      try place.looks.readRoutingRules(place.identity, isIPv6: isIPv6, place.connection).count
    }
    #expect(read == rules + 1)
    #expect(try place.routed(age: Self.hour, isIPv6: isIPv6) == rules + 1)
  }

  @Test func whatIsForgottenIsLookedUpAnew() throws {
    let place = try Place(NamespaceLooks())
    let (disciplines, rules) = (try place.shaped(age: 0), try place.routed(age: 0))
    try place.node.shell("tc qdisc add dev x0 root tbf rate 1mbit burst 10kb latency 10ms")
    try place.node.shell("ip rule add pref 99 lookup 99")
    place.looks.forget(place.identity)
    #expect(try place.shaped(age: Self.hour) == disciplines + 1)
    #expect(try place.routed(age: Self.hour) == rules + 1)
  }

  @Test func sysctlsAndRoutesAreSharedToo() throws {
    let place = try Place(NamespaceLooks())
    let question = VTEPQuestion(
      key: RouteKey(remote: IPAddress("198.18.0.2")!, port: 4789, outInterface: 0), local: nil, tos: 0, uplink: nil)
    func forwards(age: UInt64) throws -> String? {
      try place.node.run { place.looks.sysctl("net/ipv4/ip_forward", place.identity, age: age) }
    }
    func isRouted(age: UInt64) throws -> Bool {
      try place.node.run { try place.looks.route(question, place.identity, place.connection, age: age) != nil }
    }
    #expect(try forwards(age: 0) == "0" && !isRouted(age: 0))
    try place.node.set("net/ipv4/ip_forward", "1")
    try place.node.shell("ip address add 198.18.0.1/24 dev x0")
    try place.node.shell("ip link set x0 up")
    #expect(try forwards(age: Self.hour) == "0" && !isRouted(age: Self.hour))
    #expect(try forwards(age: 0) == "1" && isRouted(age: 0))
    #expect(try forwards(age: Self.hour) == "1" && isRouted(age: Self.hour))
  }

  @Test func namespacesAreLookedAtApart() throws {
    let looks = NamespaceLooks()
    let (one, other) = (try Place(looks), try Place(looks))
    try one.node.shell("tc qdisc add dev x0 root tbf rate 1mbit burst 10kb latency 10ms")
    try one.node.shell("ip rule add pref 99 lookup 99")
    #expect(try one.shaped(age: 0) == other.shaped(age: Self.hour) + 1)
    #expect(try one.routed(age: 0) == other.routed(age: Self.hour) + 1)
  }
}
