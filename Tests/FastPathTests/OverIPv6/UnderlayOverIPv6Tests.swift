// SPDX-License-Identifier: Apache-2.0
import FastPath
import LinuxSystem
import TestSupport
import Testing

/// What the kernel would decide about an IPv6 underlay is followed while the fast path runs.
@Suite(.serialized, .enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
struct UnderlayOverIPv6Tests {
  private let far = "2001:2:0:1::2"

  private func port(_ name: String, _ service: FastPathService) throws -> Stats.Port {
    try #require(try service.stats().ports.first { $0.name == name })
  }

  private func encapsulated(_ service: FastPathService) throws -> UInt64 {
    try port("va1", service).forwarded["encapsulated"]?.packets ?? 0
  }

  private func reason(_ service: FastPathService) throws -> String? {
    try service.status().tunnels.first { $0.remote == far }?.reason
  }

  /// One packet from a1 as it is on the wire once `isWanted` says so, if it went the fast way.
  private func sees(
    _ overlay: TestOverlay, _ service: FastPathService, _ isWanted: @escaping ([UInt8]) -> Bool
  ) throws -> Bool {
    let wire = Box(try overlay.hosts["b"]!.open { try PacketSocket(interface: "eth0") })
    let sender = Box(try overlay.containers["a1"]!.node.open { try PacketSocket(interface: "eth0") })
    let frame = overlay.packet(.udp4, "a1", "b1").bytes
    return try eventually {
      let before = try encapsulated(service)
      try sender.value.send(frame)
      let outer = wire.value.receive(milliseconds: 300) { Array($0.dropFirst(70)) == frame }
      return try outer.map(isWanted) == true && eventually(1) { try encapsulated(service) > before }
    }
  }

  @Test(arguments: [Tier.tc, .xdp]) func routesNeighboursAndSysctlsAreFollowed(tier: Tier) throws {
    let overlay = try TestOverlay(ipv6: false, overIPv6: true)
    let service = try overlay.start("a") { $0.tier = tier }
    defer { try? service.stop() }
    let a = overlay.hosts["a"]!
    #expect(try sees(overlay, service) { _ in true })

    try a.shell("ip -6 neigh replace \(far) lladdr 02:00:00:00:99:99 dev eth0 nud permanent")
    #expect(try sees(overlay, service) { Array($0.prefix(6)) == [2, 0, 0, 0, 0x99, 0x99] })
    try a.shell("ip -6 neigh del \(far) dev eth0")
    #expect(try eventually { try reason(service)?.contains("not resolved yet") == true })
    let mac = try overlay.hosts["b"]!.mac(of: "eth0")
    try a.shell("ip -6 neigh replace \(far) lladdr \(mac) dev eth0 nud permanent")
    #expect(try sees(overlay, service) { _ in true })

    try a.set("net/ipv6/conf/eth0/hop_limit", "77")
    #expect(try sees(overlay, service) { $0[21] == 77 })
    try a.shell("ip -6 route add \(far)/128 dev eth0 hoplimit 33")
    #expect(try sees(overlay, service) { $0[21] == 33 })
    try a.shell("ip -6 route change \(far)/128 dev eth0 mtu 1300")
    let big = "ping -n -q -M dont -c 1 -W 1 -s 1300 198.19.0.101"
    #expect(
      try eventually {
        _ = try overlay.containers["a1"]!.node.output(big)
        return try port("va1", service).passed["mtu"] != nil
      })

    try a.shell("ip link add dummy0 type veth peer name dummy1")
    try a.shell("ip link set dummy0 up")
    try a.shell("ip link set dummy1 up")
    try a.set("net/ipv6/conf/dummy0/disable_ipv6", "0")
    try a.shell("ip -6 route change \(far)/128 dev dummy0")
    #expect(try eventually { try reason(service)?.contains("goes out of dummy0, not of eth0") == true })
    try a.shell("ip -6 route del \(far)/128 dev dummy0")
    #expect(try sees(overlay, service) { _ in true })
  }

  @Test func nothingIsTakenInForAnAddressThatTheHostHasNoMore() throws {
    let overlay = try TestOverlay(ipv6: false, overIPv6: true)
    let service = try overlay.start("a") { $0.tier = .tc }
    defer { try? service.stop() }
    let a = overlay.hosts["a"]!
    func decapsulated() throws -> UInt64 { try port("eth0", service).forwarded["decapsulated"]?.packets ?? 0 }
    func isThrough() throws -> Bool { try overlay.answers("b1", "a1", count: 1) == 1 }
    #expect(try eventually { try isThrough() && decapsulated() > 0 })
    try a.shell("ip addr del 2001:2:0:1::1/64 dev eth0")
    #expect(try eventually { try !isThrough() })
    let before = try decapsulated()
    #expect(try !isThrough() && decapsulated() == before)
    try a.shell("ip addr add 2001:2:0:1::1/64 dev eth0 nodad")
    #expect(try eventually { try isThrough() && decapsulated() > before })
  }

  @Test func framesAroundTheMTUArriveOrGoToTheKernelAsBefore() throws {
    let overlay = try TestOverlay(overIPv6: true)
    let a = try overlay.start("a") { $0.tier = .tc }
    let b = try overlay.start("b") { $0.tier = .tc }
    for size in [1401, 1402] { try overlay.ping("a1", "b1", options: "-M do -s \(size)") }
    #expect(throws: ShellFailure.self) { try overlay.ping("a1", "b1", options: "-M do -s 1403") }
    #expect(try port("va1", a).passed["mtu"] == nil)
    try overlay.ping("a1", "b1", options: "-M dont -s 4000")
    // A container's own MTU may be larger: the kernel drops, or tells the sender.
    try overlay.hosts["a"]!.shell("ip link set va1 mtu 1500")
    try overlay.containers["a1"]!.node.shell("ip link set eth0 mtu 1500")
    #expect(
      try eventually {
        _ = try overlay.containers["a1"]!.node.output("ping -n -q -M do -c 1 -W 1 -s 1403 198.19.0.101")
        return try port("va1", a).passed["mtu"] != nil
      })
    try a.stop()
    try b.stop()
  }

  @Test func tierXDPCarriesStreams() throws {
    let overlay = try TestOverlay(overIPv6: true)
    let a = try overlay.start("a") { $0.tier = .xdp }
    let b = try overlay.start("b") { $0.tier = .tc }
    let (a1, b1) = (overlay.containers["a1"]!, overlay.containers["b1"]!)
    for ipv6 in [false, true] {
      #expect(try Transfer(from: a1, to: b1, bytes: 8 << 20, ipv6: ipv6).finish() == .intact)
      #expect(try Transfer(from: b1, to: a1, bytes: 8 << 20, ipv6: ipv6).finish() == .intact)
    }
    #expect(try encapsulated(a) > 1000 && port("eth0", a).forwarded["decapsulated"]?.packets ?? 0 > 1000)
    for node in Array(overlay.hosts.values) + [a1.node, b1.node] { #expect(try node.checksumErrors() == 0) }
    try a.stop()
    try b.stop()
  }

  @Test func aContainerThatMovesToTheOtherHostIsFoundThere() throws {
    let overlay = try TestOverlay(containers: ["a1", "a2", "b1"], overIPv6: true)
    let a = try overlay.start("a") { $0.tier = .tc }
    let b = try overlay.start("b") { $0.tier = .tc }
    try overlay.ping("a1", "a2", count: 3)
    let moving = overlay.containers["a2"]!
    try overlay.hosts["a"]!.shell("ip link del va2")
    let moved = try overlay.addContainer("b2", mac: moving.mac, number: moving.number, mtu: 1430)
    let announcer = Box(try moved.node.open { try PacketSocket(interface: "eth0") })
    let who = [198, 19, 0, moving.number] as [UInt8]
    try announcer.value.send(
      [255, 255, 255, 255, 255, 255] + moved.mac + [8, 6, 0, 1, 8, 0, 6, 4, 0, 2] + moved.mac + who
        + moved.mac + who)
    #expect(try eventually { try overlay.answers("a1", "b2", count: 1) == 1 })
    let before = try encapsulated(a)
    try overlay.ping("a1", "b2", count: 5)
    #expect(try encapsulated(a) >= before + 4)
    try a.stop()
    try b.stop()
  }

  /// A rule of ip6tables or nftables about the underlay's packets keeps them with the kernel; one of IPv4 is no matter.
  @Test func aRuleAboutTheUnderlaysPacketsKeepsThemWithTheKernel() throws {
    let overlay = try TestOverlay(ipv6: false, overIPv6: true)
    let a = overlay.hosts["a"]!
    func rule(_ family: String) -> String {
      "add table \(family) t; add chain \(family) t c { type filter hook input priority 0; }; "
        + "add rule \(family) t c udp dport 4789 limit rate 1000/second drop"
    }
    _ = try a.run { try TestSupport.shell("nft", rule("ip")) }
    let service = try overlay.start("a") { $0.tier = .tc }
    defer { try? service.stop() }
    #expect(try sees(overlay, service) { _ in true })
    _ = try a.run { try TestSupport.shell("nft", rule("ip6")) }
    #expect(
      try eventually { try service.status().ports.contains { $0.name == "eth0" && $0.reason?.contains("ip6 t c") == true } })
    _ = try a.run { try TestSupport.shell("nft", "delete table ip6 t") }
    #expect(try sees(overlay, service) { _ in true })
  }

  /// Overlays over both IPs share an uplink and know nothing of each other.
  @Test func bothIPsShareAnUplink() throws {
    let overlay = try TestOverlay(containers: [], ipv6: false, overIPv6: true)
    let addresses = ["a": "198.18.0.1", "b": "198.18.0.2"]
    for (host, node) in overlay.hosts {
      let other = addresses[TestOverlay.other(host)]!
      try node.shell("ip addr add \(addresses[host]!)/24 dev eth0")
      let mac = try overlay.hosts[TestOverlay.other(host)]!.mac(of: "eth0")
      try node.shell("ip neigh replace \(other) lladdr \(mac) dev eth0 nud permanent")
      try node.shell(
        "ip link add vx4 type vxlan id 42 local \(addresses[host]!) remote \(other) dev eth0 dstport 4790 noudpcsum")
      try node.shell("ip link add br4 type bridge mcast_snooping 0")
      try node.shell("ip link set vx4 master br4 up")
      try node.shell("ip link set br4 up")
      try overlay.setNetfilter(false, on: host)
      try node.waitUntilUp("vx4", isPort: true)
    }
    for name in ["a1", "b1"] { try overlay.addContainer(name, mtu: 1430) }
    for name in ["a2", "b2"] { try overlay.addContainer(name, bridge: "br4") }
    try overlay.ping("a1", "b1")
    try overlay.ping("a2", "b2")
    let six = try overlay.start("a") { $0.tier = .tc }
    let four = try overlay.start("a") {
      $0.tier = .tc
      $0.overlay = "br4"
    }
    for (one, other, service) in [("a1", "b1", six), ("a2", "b2", four)] {
      try overlay.ping(one, other, count: 5)
      #expect(try port("v\(one)", service).forwarded["encapsulated"]?.packets ?? 0 >= 4)
      #expect(try port("eth0", service).forwarded["decapsulated"]?.packets ?? 0 >= 4)
    }
    try six.stop()
    try overlay.ping("a1", "b1", count: 2)
    try overlay.ping("a2", "b2", count: 2)
    try four.stop()
  }

  /// One program of XDP is all that an interface takes.
  @Test func tierXDPServesOneIPOfAnUplink() throws {
    let overlay = try TestOverlay(ipv6: false, overIPv6: true)
    let a = overlay.hosts["a"]!
    try a.shell("ip addr add 198.18.0.1/24 dev eth0")
    try a.shell("ip link add vx4 type vxlan id 42 local 198.18.0.1 remote 198.18.0.2 dev eth0 dstport 4790 noudpcsum")
    try a.shell("ip link add br4 type bridge mcast_snooping 0")
    try a.shell("ip link set vx4 master br4 up")
    try a.shell("ip link set br4 up")
    try overlay.setNetfilter(false, on: "a")
    try overlay.addContainer("a2", bridge: "br4")
    let both = AgentOptions(overlays: ["br0", "br4"], each: overlay.options("a") { $0.tier = .xdp })
    let error = try #require(throws: Failure.self) { try FastPathService.start(both) }
    #expect("\(error)".contains("over IPv6") && "\(error)".contains("tier tc"), "\(error)")
    let service = try overlay.start("a") { $0.tier = .xdp }
    try overlay.ping("a1", "b1", count: 3)
    try service.stop()
  }

  @Test(arguments: [Tier.afxdp]) func aTierThatDoesNotServeItSaysSo(tier: Tier) throws {
    let overlay = try TestOverlay(ipv6: false, overIPv6: true)
    let error = try #require(throws: Failure.self) { try overlay.start("a") { $0.tier = tier } }
    #expect("\(error)".contains("IPv6") && "\(error)".contains("tier \(tier.rawValue)"))
    try overlay.ping("a1", "b1")
  }
}
