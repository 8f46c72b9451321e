// SPDX-License-Identifier: Apache-2.0
import FastPath
import LinuxSystem
import TestSupport
import Testing

/// VLAN tags travel beside the frame, in the skb: what is tagged arrives tagged, or stays away as by the kernel.
@Suite(.serialized, .enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
struct C03VLANTagTests {
  struct Seen: Equatable {
    var tagged: Int
    var untagged: Int
  }

  /// A bridge inside a container, and a namespace behind it whose frames it takes in and hands on.
  private func behind(_ container: TestOverlay.Container, _ number: UInt8) throws -> (
    node: TestNode, mac: [UInt8]
  ) {
    let (node, inner) = (container.node, try TestNode())
    let mac: [UInt8] = [2, 0, 0x5e, 0, 1, number]
    try node.shell("ip addr flush dev eth0")
    try node.shell("ip link add nb0 type bridge mcast_snooping 0")
    try node.shell("ip link set nb0 up")
    try node.shell("ip link set eth0 master nb0")
    try node.shell("ip link add in0 type veth peer name eth0 netns \(inner.path)")
    try node.shell("ip link set in0 master nb0 up")
    try inner.set("net/ipv6/conf/all/disable_ipv6", "1")
    try inner.shell(
      "ip link set eth0 address \(mac.map { String($0, radix: 16) }.joined(separator: ":"))")
    try inner.shell("ip link set eth0 up")
    return (inner, mac)
  }

  private func tag(_ frame: [UInt8], _ type: [UInt8]) -> [UInt8] {
    frame[..<12] + type + [0, 10] + frame[12...]
  }

  @Test(arguments: [[0x81, 0x00], [0x88, 0xa8]] as [[UInt8]], Tier.allCases)
  func taggedFramesOfAContainerArriveTagged(type: [UInt8], tier: Tier) throws {
    let kernel = try sameAsKernel(tier, type) { side in
      let overlay = try TestOverlay(ipv6: false)
      let one = try behind(overlay.containers["a1"]!, 1)
      let other = try behind(overlay.containers["b1"]!, 2)
      let sender = Box(try one.node.open { try PacketSocket(interface: "eth0") })
      let receiver = Box(try other.node.open { try PacketSocket(interface: "eth0") })
      let service = try side.start(overlay)
      var packet = TestPacket(.udp4, from: 1, source: one.mac, to: 2, destination: other.mac)
      var answer = TestPacket(.udp4, from: 2, source: other.mac, to: 1, destination: one.mac)
      answer.payload = [9]
      // Everybody learns, tagged and untagged, where both are.
      try receiver.value.send(answer.bytes)
      try sender.value.send(packet.bytes)
      _ = receiver.value.receive { $0 == packet.bytes }
      for number in 0..<20 as Range<UInt8> {
        packet.payload = [UInt8](repeating: number, count: 100)
        try sender.value.send(tag(packet.bytes, type))
      }
      let frames = receiver.value.receive(21) { Array($0[6..<12]) == one.mac }
      try service?.stop()
      return Seen(
        tagged: frames.filter { Array($0[12..<16]) == type + [0, 10] }.count,
        untagged: frames.filter { Array($0[12..<14]) == [8, 0] }.count)
    }
    #expect(kernel == Seen(tagged: 20, untagged: 0))
  }

  /// A tagged VXLAN frame is none for this uplink: a switch hands it over with the tag beside it.
  @Test(arguments: Tier.allCases) func taggedOuterFramesAreNotDecapsulated(tier: Tier) throws {
    let kernel = try sameAsKernel(tier) { side in
      let overlay = try TestOverlay(ipv6: false)
      try overlay.ping("a1", "b1")
      let (a1, b1) = (overlay.containers["a1"]!, overlay.containers["b1"]!)
      let host = overlay.hosts["b"]!
      // One of the kernel's own, and what it becomes with a tag.
      let wire = Box(try overlay.hosts["a"]!.open { try PacketSocket(interface: "eth0") })
      let inner = overlay.packet(.udp4, "b1", "a1").bytes
      let sender = Box(try b1.node.open { try PacketSocket(interface: "eth0") })
      try sender.value.send(inner)
      let plain = try #require(
        wire.value.receive { $0.count == inner.count + 50 && Array($0[50...]) == inner })
      // Host b becomes a switch with a port to inject at.
      try host.shell("ip link del vx0")
      try host.shell("ip addr flush dev eth0")
      try host.shell("ip link add sw type bridge mcast_snooping 0")
      try host.shell("ip link set sw up")
      try host.shell("ip link set eth0 master sw")
      try host.shell("ip link add port type veth peer name inject")
      try host.shell("ip link set port master sw up")
      try host.shell("ip link set inject up")
      let injector = Box(try host.open { try PacketSocket(interface: "inject") })
      let receiver = Box(try a1.node.open { try PacketSocket(interface: "eth0") })
      let service = try side.start(overlay)
      // Untagged, to see that the way is open.
      try injector.value.send(plain)
      let open = receiver.value.receive { $0 == inner } != nil
      for _ in 0..<10 { try injector.value.send(tag(plain, [0x81, 0])) }
      let arrived = receiver.value.receive(10) { $0 == inner }.count
      try service?.stop()
      return Seen(tagged: arrived, untagged: open ? 1 : 0)
    }
    #expect(kernel == Seen(tagged: 0, untagged: 1))
  }
}
