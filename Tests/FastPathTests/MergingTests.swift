// SPDX-License-Identifier: Apache-2.0
import CBPFObjects
import FastPath
import LinuxSystem
import TestSupport
import Testing

/// What a plain kernel's GRO makes of the packets that a tier sends.
@Suite(.serialized, .enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
struct MergingTests {
  /// Mean bytes that host b's VXLAN device receives at once from four flows of a1 at once, whose segments are
  /// cut up before they leave the container.
  private func meanBytes(_ side: Side, ipv6: Bool) throws -> Double {
    let overlay = try TestOverlay()
    let (a1, b1) = (overlay.containers["a1"]!, overlay.containers["b1"]!)
    try a1.node.shell("ethtool -K eth0 tso off gso off")
    try overlay.ping("a1", "b1")
    let service = try side.start(overlay)
    try overlay.ping("a1", "b1", count: 2)
    let host = overlay.hosts["b"]!
    func counts() throws -> (bytes: Double, packets: Double) {
      (Double(try host.counter("rx_bytes", of: "vx0")), Double(try host.counter("rx_packets", of: "vx0")))
    }
    let before = try counts()
    let transfers = try (0..<4 as Range<UInt16>).map {
      try Transfer(from: a1, to: b1, bytes: 8 << 20, ipv6: ipv6, port: 7001 + $0)
    }
    for transfer in transfers { #expect(transfer.finish() == .intact) }
    let after = try counts()
    if let service { #expect(try service.stats().forwarded.packets > 20_000, "by the fast path") }
    try service?.stop()
    return (after.bytes - before.bytes) / (after.packets - before.packets)
  }

  @Test(arguments: [false, true], Tier.allCases) func severalFlowsAreMerged(ipv6: Bool, tier: Tier) throws {
    let segment = 1400.0
    let kernel = try meanBytes(.kernel, ipv6: ipv6)
    #expect(kernel > 2 * segment, "the kernel's own are merged")
    let ours = try meanBytes(.tier(tier), ipv6: ipv6)
    #expect(
      ours > 2 * segment && ours > kernel / 4, "\(Int(ours)) bytes at once, the kernel's \(Int(kernel))")
  }

  /// The outer identification goes up by one from packet to packet of a flow, also with others between them.
  @Test(arguments: [TestPacket.Kind.tcp4, .tcp6], Tier.allCases)
  func identificationsOfAFlowFollowEachOther(kind: TestPacket.Kind, tier: Tier) throws {
    let overlay = try TestOverlay()
    try overlay.ping("a1", "b1")
    let service = try overlay.start("a") { $0.tier = tier }
    try overlay.ping("a1", "b1", count: 2)
    let wire = Box(try overlay.hosts["b"]!.open { try PacketSocket(interface: "eth0") })
    let sender = Box(try overlay.containers["a1"]!.node.open { try PacketSocket(interface: "eth0") })
    let flows = 5
    var ids = [[UInt16]](repeating: [], count: flows)
    // Each CPU deals out numbers of its own.
    try DedicatedThread.run {
      try CPU.pin(to: 0)
      for number in 0..<30 as Range<UInt16> {
        for flow in 0..<flows {
          var packet = overlay.packet(kind, "a1", "b1")
          packet.sourcePort = 5000 + UInt16(flow)
          packet.identification = 7 &+ number
          packet.sequence = UInt32(number) * UInt32(packet.payload.count)
          try sender.value.send(packet.bytes)
          let frame = wire.value.receive { Array($0.dropFirst(50)) == packet.bytes }
          ids[flow].append(try #require(frame.map { UInt16($0[18]) << 8 | UInt16($0[19]) }))
        }
      }
    }
    try service.stop()
    let broken = ids.filter { flow in
      let steps = zip(flow, flow.dropFirst()).map { $1 &- $0 }
      // A new block of numbers begins now and then; the source's refresh goes by the kernel once.
      return steps.filter { $0 != 1 }.count > 3 + steps.count / Int(CULVERT_ID_BLOCK)
    }
    // Two flows whose hashes meet in one of CULVERT_ID_FLOWS places draw from one block.
    #expect(broken.count <= 2, "\(broken)")
  }
}
