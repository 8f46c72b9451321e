// SPDX-License-Identifier: Apache-2.0
import FastPath
import Foundation
import Glibc
import LinuxSystem
import TestSupport
import Testing

/// What the kernel would decide about the underlay, and that it is followed while the fast path runs: routes,
/// path MTUs, addresses, sysctls, reverse paths, the default destination.
@Suite(.serialized, .enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
struct UnderlayTests {
  func port(_ name: String, _ service: FastPathService) throws -> Stats.Port {
    try #require(try service.stats().ports.first { $0.name == name })
  }

  /// A second wire between the hosts, whichever way packets come by.
  func addWire(_ overlay: TestOverlay) throws {
    try overlay.addWire("w1", network: "198.18.9")
    for node in overlay.hosts.values {
      for place in ["all", "default", "w1", "eth0"] { try node.set("net/ipv4/conf/\(place)/rp_filter", "0") }
    }
  }

  /// How many of `count` packets go from a container of one host to the other's: one that is lost is lost for good.
  func delivered(_ overlay: TestOverlay, _ from: String, _ to: String, count: Int = 10) throws -> Int {
    let sender = Box(try overlay.containers[from]!.node.open { try PacketSocket(interface: "eth0") })
    let receiver = Box(try overlay.containers[to]!.node.open { try PacketSocket(interface: "eth0") })
    var packet = overlay.packet(.udp4, from, to)
    packet.payload = Array(UUID().uuidString.utf8)
    let frame = packet.bytes
    for _ in 0..<count { try sender.value.send(frame) }
    var arrived = 0
    while arrived < count, receiver.value.receive(milliseconds: 300, where: { $0 == frame }) != nil {
      arrived += 1
    }
    return arrived
  }

  @Test(arguments: Tier.allCases) func learnedEntriesFollowTheRoutingTable(tier: Tier) throws {
    let overlay = try TestOverlay(ipv6: false)
    try addWire(overlay)
    try overlay.ping("a1", "b1")
    let service = try overlay.start("a") { $0.tier = tier }
    func encapsulated() throws -> UInt64 { try port("va1", service).forwarded["encapsulated"]?.packets ?? 0 }
    func reason() throws -> String? {
      try service.status().tunnels.first { $0.remote == "198.18.0.2" }?.reason
    }
    #expect(try delivered(overlay, "a1", "b1") == 10)
    #expect(try encapsulated() >= 9)

    let a = overlay.hosts["a"]!
    try a.shell("ip route add 198.18.0.2/32 via 198.18.9.2 dev w1 src 198.18.0.1")
    #expect(try eventually { try reason()?.contains("goes out of w1, not of eth0") == true })
    let before = try encapsulated()
    #expect(try delivered(overlay, "a1", "b1") == 10)
    #expect(try encapsulated() == before)

    // The route goes with the interface, and no announcement says so.
    try a.shell("ip link set w1 down")
    #expect(try eventually { try reason() == nil })
    #expect(try delivered(overlay, "a1", "b1") == 10)
    #expect(try encapsulated() >= before + 9)
    try service.stop()
  }

  /// As a router on the way would say it, about a packet that host A has sent.
  func fragmentationNeeded(mtu: UInt16, _ overlay: TestOverlay) throws {
    func mac(_ host: String) throws -> [UInt8] {
      let text = try overlay.hosts[host]!.shell("ip -o link show eth0").split(separator: " ")
      return text.drop { $0 != "link/ether" }.dropFirst().first!.split(separator: ":").map {
        UInt8($0, radix: 16)!
      }
    }
    func ip(_ number: UInt8, from: UInt8, to: UInt8, bytes: Int) -> [UInt8] {
      var header =
        [0x45, 0] + be(UInt16(20 + bytes)) + [0, 7, 0, 0, 64, number, 0, 0, 198, 18, 0, from, 198, 18, 0, to]
      header.replaceSubrange(10..<12, with: be(internetChecksum(header)))
      return header
    }
    let vxlan: [UInt8] = [8, 0, 0, 0, 0, 0, 42, 0]
    let udp: [UInt8] = be(40000) + be(4789) + be(1400) + [0, 0]
    let quoted = ip(17, from: 1, to: 2, bytes: 1400) + udp + vxlan + [UInt8](repeating: 0, count: 32)
    var icmp: [UInt8] = [3, 4, 0, 0, 0, 0] + be(mtu) + quoted
    icmp.replaceSubrange(2..<4, with: be(internetChecksum(icmp)))
    let socket = Box(try overlay.hosts["b"]!.open { try PacketSocket(interface: "eth0") })
    try socket.value.send(try mac("a") + mac("b") + [8, 0] + ip(1, from: 2, to: 1, bytes: icmp.count) + icmp)
  }

  @Test(arguments: Tier.allCases) func aPathMTUThatShrinksIsLearnedAndForgottenAsTheKernelDoes(tier: Tier)
    throws
  {
    let overlay = try TestOverlay(ipv6: false)
    try overlay.ping("a1", "b1")
    let service = try overlay.start("a") { $0.tier = tier }
    let (a, a1) = (overlay.hosts["a"]!, overlay.containers["a1"]!.node)
    let big = "ping -n -q -M do -c 1 -W 1 -s 1400 198.19.0.101"
    try a1.shell(big)
    func isThrough() -> Bool { (try? a1.shell(big)) != nil }
    func encapsulatedBytes() throws -> UInt64 {
      try port("va1", service).forwarded["encapsulated"]?.bytes ?? 0
    }
    try fragmentationNeeded(mtu: 1300, overlay)
    #expect(try eventually { try a.shell("ip route get 198.18.0.2 from 198.18.0.1").contains("mtu 1300") })
    // The container hears of it from the kernel: what is larger goes there.
    #expect(try eventually { try !isThrough() && port("va1", service).passed["mtu"] != nil })
    #expect(try eventually { try a1.shell("ip route get 198.19.0.101").contains("mtu 1250") })
    #expect(try delivered(overlay, "a1", "b1") == 10)

    try a.shell("ip route flush cache")
    try a1.shell("ip route flush cache")
    #expect(
      try eventually {
        let before = try encapsulatedBytes()
        return try isThrough() && encapsulatedBytes() >= before + 1428
      })
    try service.stop()
  }

  @Test(arguments: Tier.allCases) func nothingIsTakenInForAnAddressThatTheHostHasNoMore(tier: Tier) throws {
    let overlay = try TestOverlay(ipv6: false)
    try overlay.ping("a1", "b1")
    let service = try overlay.start("a") { $0.tier = tier }
    #expect(try delivered(overlay, "b1", "a1") == 10)
    let a = overlay.hosts["a"]!
    try a.shell("ip addr add 198.18.0.9/24 dev eth0")
    try a.shell("ip addr del 198.18.0.1/24 dev eth0")
    #expect(try eventually { try delivered(overlay, "b1", "a1", count: 1) == 0 })
    #expect(try delivered(overlay, "b1", "a1") == 0)
    try a.shell("ip addr add 198.18.0.1/24 dev eth0")
    let before = try port("eth0", service).forwarded["decapsulated"]?.packets ?? 0
    #expect(try eventually { try delivered(overlay, "b1", "a1", count: 1) == 1 })
    #expect(
      try eventually {
        _ = try delivered(overlay, "b1", "a1", count: 1)
        return (try port("eth0", service).forwarded["decapsulated"]?.packets ?? 0) > before
      })
    try service.stop()
  }

  @Test(arguments: Tier.allCases) func sysctlsAreFollowed(tier: Tier) throws {
    let overlay = try TestOverlay(ipv6: false)
    try overlay.ping("a1", "b1")
    let service = try overlay.start("a") { $0.tier = tier }
    let a = overlay.hosts["a"]!
    try a.set("net/ipv4/ip_local_port_range", "40000\t40001")
    try a.set("net/ipv4/ip_default_ttl", "77")
    let wire = Box(try overlay.hosts["b"]!.open { try PacketSocket(interface: "eth0") })
    let sender = Box(try overlay.containers["a1"]!.node.open { try PacketSocket(interface: "eth0") })
    let frame = overlay.packet(.udp4, "a1", "b1").bytes
    let before = try port("va1", service).forwarded["encapsulated"]?.packets ?? 0
    #expect(
      try eventually {
        try sender.value.send(frame)
        // TTL, and the source port 40000.
        return wire.value.receive(milliseconds: 100) {
          $0.count == frame.count + 50 && $0[22] == 77 && Array($0[34..<36]) == be(40000)
        } != nil
      })
    try sender.value.send(frame)
    #expect(try eventually { try port("va1", service).forwarded["encapsulated"]?.packets ?? 0 > before })
    try service.stop()
  }

  /// net.ipv4.conf.*.rp_filter, and routes that say that nothing comes from there.
  @Test(arguments: Tier.allCases, ["198.18.0.2/32 dev w1", "blackhole 198.18.0.2/32"])
  func whatTheReversePathRefusesIsNotDelivered(tier: Tier, route: String) throws {
    let overlay = try TestOverlay(ipv6: false)
    try addWire(overlay)
    try overlay.ping("a1", "b1")
    let service = try overlay.start("a") { $0.tier = tier }
    let a = overlay.hosts["a"]!
    try a.shell("ip route add \(route)")
    try a.set("net/ipv4/conf/eth0/rp_filter", "1")
    #expect(try eventually { try delivered(overlay, "b1", "a1", count: 1) == 0 })
    #expect(try delivered(overlay, "b1", "a1") == 0)
    try a.shell("ip route del \(route)")
    #expect(try eventually { try delivered(overlay, "b1", "a1", count: 1) == 1 })
    let before = try port("eth0", service).forwarded["decapsulated"]?.packets ?? 0
    #expect(
      try eventually {
        _ = try delivered(overlay, "b1", "a1", count: 1)
        return (try port("eth0", service).forwarded["decapsulated"]?.packets ?? 0) > before
      })
    try service.stop()
  }

  /// flannel's, Calico's and every other device that does not learn: the MAC is known to the bridge alone.
  @Test(arguments: Tier.allCases) func theDefaultDestinationIsServedBothWays(tier: Tier) throws {
    let overlay = try TestOverlay(vxlan: "noudpcsum nolearning", ipv6: false)
    try overlay.ping("a1", "b1")
    let service = try overlay.start("a") { $0.tier = tier }
    #expect(try delivered(overlay, "a1", "b1") == 10)
    #expect(try delivered(overlay, "b1", "a1") == 10)
    #expect(try port("va1", service).forwarded["encapsulated"]?.packets ?? 0 >= 9)
    #expect(try port("eth0", service).forwarded["decapsulated"]?.packets ?? 0 >= 9)
    // Of two destinations each gets a copy: the kernel's.
    let a = overlay.hosts["a"]!
    try a.shell("bridge fdb append 00:00:00:00:00:00 dev vx0 dst 198.18.0.3 self permanent")
    #expect(try eventually { try service.status().tunnels.isEmpty })
    #expect(try delivered(overlay, "a1", "b1") == 10)
    try service.stop()
  }

  /// The kernel's entries are fed by what it is given; a shorter time needs it more often, from now on.
  @Test(arguments: Tier.allCases) func anAgeingTimeThatIsCutIsObeyedAtOnce(tier: Tier) throws {
    let overlay = try TestOverlay(ipv6: false)
    try overlay.ping("a1", "b1")
    let service = try overlay.start("a") { $0.tier = tier }
    #expect(try delivered(overlay, "a1", "b1", count: 20) == 20)
    let before = try port("va1", service).passed["refresh"]?.packets ?? 0
    try overlay.hosts["a"]!.shell("ip link set br0 type bridge ageing_time 300")
    // A second between them: three seconds' ageing.
    #expect(
      try eventually(8) {
        _ = try delivered(overlay, "a1", "b1", count: 1)
        return try port("va1", service).passed["refresh"]?.packets ?? 0 >= before + 3
      })
    try service.stop()
  }
}
