// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import TestSupport
import Testing

@testable import FastPath

/// Interfaces of two namespaces have one number, and containers behind them one address: each overlay's are its own.
@Suite(.serialized, .enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
struct OneNumberTests {
  private struct Twin {
    let host: TestNode
    let container: TestNode
  }

  /// Beside a container's overlay: VNI 43 in another namespace, with its like.
  private func twin(of name: String, _ overlay: TestOverlay) throws -> Twin {
    let like = overlay.containers[name]!
    let under = overlay.underlays[like.host]!
    let twin = Twin(host: try TestNode(), container: try TestNode())
    for node in [twin.host, twin.container] {
      for place in ["default", "all"] { try node.set("net/ipv6/conf/\(place)/disable_ipv6", "1") }
      try node.shell("ip link set lo up")
    }
    let number = try overlay.hosts[like.host]!.shell("ip -o link show dev \(like.port)").split(separator: ":")[0]
    // First: others take what is free.
    try twin.host.shell(
      "ip link add port index \(number) mtu 1450 type veth peer name eth0 netns \(twin.container.path)")
    let (near, far) = (overlay.address(of: like.host), overlay.address(of: TestOverlay.other(like.host)))
    try under.shell(
      "ip link add vx1 type vxlan id 43 local \(near) remote \(far) dev eth0 dstport 4789 noudpcsum")
    try under.shell("ip link set vx1 netns \(twin.host.path)")
    try twin.host.shell("ip link add br1 type bridge mcast_snooping 0")
    try? twin.host.set("net/bridge/bridge-nf-call-iptables", "0")
    for device in ["vx1", "port"] { try twin.host.shell("ip link set \(device) master br1 up") }
    try twin.host.shell("ip link set br1 up")
    try twin.container.shell("ip link set eth0 mtu 1450 address \(like.macText) up")
    try twin.container.shell("ip addr add \(like.ipv4)/16 dev eth0")
    for (_, other) in overlay.containers where other.number != like.number {
      try twin.container.shell("ip neigh replace \(other.ipv4) lladdr \(other.macText) dev eth0 nud permanent")
    }
    for device in ["vx1", "port"] { try twin.host.waitUntilUp(device, isPort: true) }
    try twin.container.waitUntilUp("eth0")
    return twin
  }

  private func encapsulated(_ node: TestNode) throws -> UInt64 {
    let directory = try #require(try Overlays.directories(namespace: node.path, all: false).first)
    let stats = try #require(try Overlays.stats(directory))
    return stats.ports.reduce(0) { $0 + ($1.forwarded["encapsulated"]?.packets ?? 0) }
  }

  @Test(arguments: Tier.allCases) func overlaysAreToldApart(tier: Tier) throws {
    let overlay = try TestOverlay(ipv6: false, layout: .split)
    let (a, b) = (try twin(of: "a1", overlay), try twin(of: "b1", overlay))
    let far = overlay.containers["b1"]!
    #expect(try a.container.answers(far.ipv4, count: 2) == 2)
    let home = try TestNamespace()
    let paths = [home.path, overlay.hosts["a"]!.path, a.host.path]
    var options = AgentOptions(
      overlays: nil, allNamespaces: true, each: overlay.options("a") { $0.tier = tier })
    options.each.namespace = home.path
    let service = try FastPathService.start(options, candidates: { paths })
    #expect(
      try service.statuses().filter { Readiness($0).carried > 0 }.map(\.bridge).sorted() == ["br0", "br1"])

    // One after the other within the time that a CPU remembers a flow.
    func socket(_ node: TestNode) throws -> Box<PacketSocket> {
      Box(try node.open { try PacketSocket(interface: "eth0") })
    }
    let senders = [try socket(overlay.containers["a1"]!.node), try socket(a.container)]
    let receivers = [try socket(far.node), try socket(b.container)]
    let frames = ["one's", "the other's"].map { text in
      var packet = overlay.packet(.udp4, "a1", "b1")
      packet.payload = Array(text.utf8)
      return packet.bytes
    }
    let count = 50
    for _ in 0..<count {
      for (sender, frame) in zip(senders, frames) { try sender.value.send(frame) }
    }
    for (receiver, frame) in zip(receivers, frames) {
      var arrived = 0
      while arrived < count, let got = receiver.value.receive(where: frames.contains) {
        #expect(got == frame)
        arrived += 1
      }
      #expect(arrived == count)
    }
    for node in [overlay.hosts["a"]!, a.host] {
      #expect(try encapsulated(node) >= UInt64(count) - 10, "\(tier)")
    }
    try service.stop()
  }
}
