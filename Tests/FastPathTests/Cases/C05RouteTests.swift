// SPDX-License-Identifier: Apache-2.0
import FastPath
import LinuxSystem
import TestSupport
import Testing

/// Packets leave by the way that the kernel's routing takes, also where that changes, and by the source ports that
/// the kernel would take.
@Suite(.serialized, .enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
struct C05RouteTests {
  /// Two wires; the VTEPs' addresses are on loopback, and eth0's way is the better one so far.
  private func twoWires() throws -> TestOverlay {
    let overlay = try TestOverlay(ipv6: false)
    try overlay.addWire("eth1", network: "198.18.9")
    for (host, node) in overlay.hosts {
      let (i, o) = host == "a" ? (1, 2) : (2, 1)
      for place in ["all", "eth0", "eth1"] { try node.set("net/ipv4/conf/\(place)/rp_filter", "0") }
      try node.shell("ip addr add 198.18.7.\(i)/32 dev lo")
      try node.shell("ip route add 198.18.7.\(o)/32 via 198.18.0.\(o) dev eth0 src 198.18.7.\(i) metric 100")
      try node.shell("ip route add 198.18.7.\(o)/32 via 198.18.9.\(o) dev eth1 src 198.18.7.\(i) metric 200")
      try node.shell("ip link del vx0")
      try node.shell(
        "ip link add vx0 type vxlan id 42 local 198.18.7.\(i) remote 198.18.7.\(o) dev eth0 dstport 4789 noudpcsum"
      )
      try node.shell("ip link set vx0 master br0 up")
    }
    try overlay.ping("a1", "b1", count: 2)
    return overlay
  }

  /// Pings from a1 that are answered, and how many of them left by each wire, at least.
  struct Seen: Equatable {
    var answers: Int
    var byFirst: Bool
    var bySecond: Bool
  }

  private func look(_ overlay: TestOverlay) throws -> Seen {
    let host = overlay.hosts["b"]!
    func counts() throws -> [UInt64] { try ["eth0", "eth1"].map { try host.counter("rx_packets", of: $0) } }
    let before = try counts()
    let answers = try overlay.answers("a1", "b1", count: 15, interval: 0.02)
    let after = try counts()
    return Seen(answers: answers, byFirst: after[0] - before[0] >= 14, bySecond: after[1] - before[1] >= 14)
  }

  @Test(arguments: Tier.allCases) func learnedEntriesFollowTheRoutingTable(tier: Tier) throws {
    let kernel = try sameAsKernel(tier) { side in
      let overlay = try twoWires()
      let service = try side.start(overlay)
      let first = try look(overlay)
      let host = overlay.hosts["a"]!
      try host.shell("ip route add 198.18.7.2/32 via 198.18.9.2 dev eth1 src 198.18.7.1 metric 10")
      // Whoever follows announcements has followed this one once the state is asked for.
      _ = try service?.status()
      let better = try look(overlay)
      // That way dies, and the packets come back.
      try host.shell("ip route del 198.18.7.2/32 via 198.18.9.2 dev eth1 metric 10")
      _ = try service?.status()
      let back = try look(overlay)
      try service?.stop()
      return [first, better, back]
    }
    #expect(kernel.map(\.bySecond) == [false, true, false])
    #expect(kernel.map(\.answers) == [15, 15, 15])
  }

  /// No look-up tells of it: the source port is each flow's own. The rule is announced, and not a packet is to pass it.
  @Test(
    arguments: Tier.allCases.map { ($0, false) } + [Tier.tc, .xdp].map { ($0, true) })
  func aRuleBySourcePortIsFollowedAtOnce(tier: Tier, isOverIPv6: Bool) throws {
    let rule = isOverIPv6 ? "ip -6 rule" : "ip rule"
    let kernel = try sameAsKernel(tier, isOverIPv6) { side in
      let overlay = try TestOverlay(ipv6: false, overIPv6: isOverIPv6)
      try overlay.ping("a1", "b1", count: 2)
      let service = try side.start(overlay)
      let before = try overlay.answers("a1", "b1", count: 3)
      let host = overlay.hosts["a"]!
      try host.shell("\(rule) add ipproto udp sport 32768-60999 blackhole")
      _ = try service?.status()
      let blocked = try overlay.answers("a1", "b1", count: 3, patience: 0.3)
      try host.shell("\(rule) del ipproto udp sport 32768-60999 blackhole")
      let after = try overlay.answers("a1", "b1", count: 3)
      try service?.stop()
      return [before, blocked, after]
    }
    #expect(kernel == [3, 0, 3])
  }

  @Test(arguments: Tier.allCases) func aGatewayIsANextHop(tier: Tier) throws {
    let kernel = try sameAsKernel(tier) { side in
      let overlay = try TestOverlay(ipv6: false, routed: true)
      try overlay.ping("a1", "b1", count: 2)
      let service = try side.start(overlay)
      let answers = try overlay.answers("a1", "b1", count: 10)
      let outcome = try Transfer(
        from: overlay.containers["a1"]!, to: overlay.containers["b1"]!, bytes: 4 << 20
      )
      .finish()
      if let service { #expect(try service.stats().forwarded.bytes > 4 << 20, "by the fast path") }
      try service?.stop()
      return [answers == 10, outcome == .intact]
    }
    #expect(kernel == [true, true])
  }

  /// Outer source ports of 200 flows.
  private func ports(_ overlay: TestOverlay) throws -> Set<UInt16> {
    let wire = Box(try overlay.hosts["b"]!.open { try PacketSocket(interface: "eth0") })
    let sender = Box(try overlay.containers["a1"]!.node.open { try PacketSocket(interface: "eth0") })
    var packet = overlay.packet(.udp4, "a1", "b1")
    for number in 0..<200 as Range<UInt16> {
      packet.sourcePort = 1000 + number
      try sender.value.send(packet.bytes)
    }
    let frames = wire.value.receive(200) { $0.count == packet.bytes.count + 50 && $0[23] == 17 }
    #expect(frames.count == 200)
    return Set(frames.map { UInt16($0[34]) << 8 | UInt16($0[35]) })
  }

  /// `srcport MIN MAX` as the kernel takes it: MAX itself is never used, and where nothing is between them, the
  /// host's own range is.
  @Test(arguments: ["srcport 50000 50001", "srcport 50000 50002"], Tier.allCases)
  func narrowPortRangesAreTheKernels(device: String, tier: Tier) throws {
    let kernel = try sameAsKernel(tier, device) { side in
      let overlay = try TestOverlay(vxlan: "noudpcsum \(device)", ipv6: false)
      try overlay.ping("a1", "b1")
      let service = try side.start(overlay)
      try overlay.ping("a1", "b1", count: 2)
      let ports = try ports(overlay)
      try service?.stop()
      return ports
    }
    #expect(kernel.isSubset(of: [50000, 50001]))
  }

  @Test(arguments: ["srcport 50000 50000", ""], Tier.allCases)
  func theHostsRangeIsFollowedWhenItChanges(device: String, tier: Tier) throws {
    let overlay = try TestOverlay(vxlan: "noudpcsum \(device)", ipv6: false)
    try overlay.ping("a1", "b1")
    for side in [Side.kernel, .tier(tier)] {
      let host = overlay.hosts["a"]!
      try host.set("net/ipv4/ip_local_port_range", "40000 40999")
      let service = try side.start(overlay)
      try overlay.ping("a1", "b1", count: 2)
      #expect(try ports(overlay).allSatisfy { (40000...40999).contains($0) }, "\(side.testDescription)")
      try host.set("net/ipv4/ip_local_port_range", "20000 20999")
      // Nobody announces it: it is asked for again, within seconds.
      let followed = try eventually(8) { try ports(overlay).allSatisfy { (20000...20999).contains($0) } }
      #expect(followed, "\(side.testDescription)")
      #expect(try ports(overlay).count > 100, "\(side.testDescription)")
      try service?.stop()
    }
  }
}
