// SPDX-License-Identifier: Apache-2.0
import FastPath
import LinuxSystem
import TestSupport
import Testing

/// What Culvert sends equals what the kernel's own device sends for the same inner
/// packet, byte for byte, save UDP source port and IP identification (and the
/// checksums over them). Captured at the far end of the wire.
@Suite(.serialized, .enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
struct SameWireTests {
  static let devices = [
    "noudpcsum", "udpcsum", "noudpcsum ttl 7", "noudpcsum ttl inherit", "noudpcsum tos inherit",
    "noudpcsum tos 0x20",
    "noudpcsum df set", "udpcsum df inherit", "noudpcsum srcport 50000 50010",
  ]

  @Test(arguments: devices, Tier.allCases) func outerHeaderEqualsTheKernels(device: String, tier: Tier) throws
  {
    let overlay = try TestOverlay(vxlan: device)
    try overlay.ping("a1", "b1")
    let packets = Self.packets(overlay)
    let kernel = try Self.send(packets, overlay)
    let service = try overlay.start("a") { $0.tier = tier }
    // One packet of each source goes to the kernel first, to refresh it.
    _ = try Self.send([packets[0]], overlay)
    let ours = try Self.send(packets, overlay)
    let stats = try service.stats()
    try service.stop()
    let port = try #require(stats.ports.first { $0.name == "va1" })
    // Tier tc leaves to the kernel what needs a sum over the whole frame.
    let summed = tier == .tc && device.hasPrefix("udpcsum") ? port.passed["checksum"]?.packets ?? 0 : 0
    #expect(
      (port.forwarded["encapsulated"]?.packets ?? 0) + summed == UInt64(packets.count),
      "all but the refresh went the fast path")
    #expect(summed < packets.count / 2)
    for (index, packet) in packets.enumerated() {
      let name = "\(packet.kind) class \(packet.trafficClass) ttl \(packet.ttl) df \(packet.dontFragment)"
      #expect(Self.masked(ours[index]) == Self.masked(kernel[index]), "\(tier), \(device): \(name)")
      #expect(Self.checksumsHold(ours[index]), "\(tier), \(device): \(name)")
      let sourcePort = UInt16(ours[index][34]) << 8 | UInt16(ours[index][35])
      let range: ClosedRange<UInt16> = device.contains("srcport") ? 50000...50010 : 32768...60999
      #expect(range.contains(sourcePort))
    }
  }

  static func packets(_ overlay: TestOverlay) -> [TestPacket] {
    var all: [TestPacket] = []
    for kind in TestPacket.Kind.allCases {
      for trafficClass in [0, 1, 2, 3, 0x2e << 2] as [UInt8] {
        var packet = overlay.packet(kind, "a1", "b1")
        packet.trafficClass = trafficClass
        packet.ttl = 33
        packet.dontFragment = trafficClass != 0
        all.append(packet)
      }
      for size in [0, 1, 1300] {
        var packet = overlay.packet(kind, "a1", "b1")
        packet.payload = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        all.append(packet)
      }
    }
    return all
  }

  /// Sends from the container; returns what arrives at the far host, in order.
  static func send(_ packets: [TestPacket], _ overlay: TestOverlay) throws -> [[UInt8]] {
    let wire = Box(try overlay.hosts["b"]!.open { try PacketSocket(interface: "eth0") })
    let container = Box(try overlay.containers["a1"]!.node.open { try PacketSocket(interface: "eth0") })
    return try packets.map { packet in
      let bytes = packet.bytes
      try container.value.send(bytes)
      let frame = wire.value.receive(milliseconds: 2000) {
        $0.count == bytes.count + overlay.outerBytes && Array($0[overlay.outerBytes...]) == bytes
      }
      return try #require(
        frame, "\(packet.kind) class \(packet.trafficClass), \(packet.payload.count) bytes, did not arrive")
    }
  }

  /// Without what a sender may choose.
  static func masked(_ frame: [UInt8]) -> [UInt8] {
    var frame = frame
    for index in [18, 19, 24, 25, 34, 35, 40, 41] { frame[index] = 0 }
    return frame
  }

  static func checksumsHold(_ frame: [UInt8]) -> Bool {
    guard internetChecksum(Array(frame[14..<34])) == 0 else { return false }
    guard frame[40] != 0 || frame[41] != 0 else { return true }
    let udp = Array(frame[34...])
    let pseudo = Array(frame[26..<34]) + [0, 17] + be(UInt16(udp.count))
    return internetChecksum(pseudo + udp) == 0
  }
}
