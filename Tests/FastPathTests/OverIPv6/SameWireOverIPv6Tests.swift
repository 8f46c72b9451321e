// SPDX-License-Identifier: Apache-2.0
import FastPath
import LinuxSystem
import TestSupport
import Testing

/// What Culvert sends over an IPv6 underlay equals what the kernel's own device sends for the same inner packet, byte for
/// byte, save UDP source port and the checksum over it.
@Suite(.serialized, .enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
struct SameWireOverIPv6Tests {
  static let devices = [
    "", "udp6zerocsumtx udp6zerocsumrx", "ttl 7", "ttl inherit", "tos inherit", "tos 0x20", "flowlabel 0xabcde tos 0xb8",
    "udp6zerocsumtx udp6zerocsumrx srcport 50000 50010",
  ]

  static let all =
    devices.map { ($0, Tier.tc) } + ["", "udp6zerocsumtx udp6zerocsumrx", "ttl inherit tos inherit flowlabel 0xabcde"].map { ($0, .xdp) }

  @Test(arguments: all) func outerHeaderEqualsTheKernels(device: String, tier: Tier) throws {
    let overlay = try TestOverlay(vxlan: device, overIPv6: true)
    try overlay.ping("a1", "b1")
    let packets = SameWireTests.packets(overlay)
    let kernel = try SameWireTests.send(packets, overlay)
    let service = try overlay.start("a") { $0.tier = tier }
    // One packet of each source goes to the kernel first, to refresh it.
    _ = try SameWireTests.send([packets[0]], overlay)
    let ours = try SameWireTests.send(packets, overlay)
    let stats = try service.stats()
    try service.stop()
    let port = try #require(stats.ports.first { $0.name == "va1" })
    let isSummed = !device.contains("udp6zerocsumtx")
    // What needs a sum over the whole frame is left to the kernel.
    let passed = port.passed["checksum"]?.packets ?? 0
    #expect(isSummed && tier == .tc || passed == 0)
    #expect(
      (port.forwarded["encapsulated"]?.packets ?? 0) + passed == UInt64(packets.count),
      "all but the refresh went the fast path")
    #expect(passed < packets.count / 2)
    for (index, packet) in packets.enumerated() {
      let name = "\(packet.kind) class \(packet.trafficClass) ttl \(packet.ttl), \(packet.payload.count) bytes"
      #expect(Self.masked(ours[index]) == Self.masked(kernel[index]), "\(device): \(name)")
      #expect(Self.hasChecksum(ours[index]) == isSummed && Self.hasChecksum(kernel[index]) == isSummed)
      if isSummed { #expect(Self.checksumHolds(ours[index]), "\(device): \(name)") }
      let sourcePort = UInt16(ours[index][54]) << 8 | UInt16(ours[index][55])
      let range: ClosedRange<UInt16> = device.contains("srcport") ? 50000...50010 : 32768...60999
      #expect(range.contains(sourcePort))
    }
  }

  /// Segments are cut up on the way out, and each has the checksum that it would have from the kernel's device.
  @Test(arguments: ["", "udp6zerocsumtx udp6zerocsumrx"], [TestOverlay.Wire.completeChecksums, .partialChecksums])
  func segmentsCarryTheChecksumOfTheirOwn(device: String, wire: TestOverlay.Wire) throws {
    let overlay = try TestOverlay(vxlan: device, wire: wire, overIPv6: true)
    let service = try overlay.start("a") { $0.tier = .tc }
    defer { try? service.stop() }
    let (a1, b1) = (overlay.containers["a1"]!, overlay.containers["b1"]!)
    let bytes = 20 << 20
    for ipv6 in [false, true] {
      func forwarded() throws -> UInt64 {
        try #require(try service.stats().ports.first { $0.name == "va1" }).forwarded["encapsulated"]?.bytes ?? 0
      }
      let before = try forwarded()
      #expect(try Transfer(from: a1, to: b1, bytes: bytes, ipv6: ipv6).finish() == .intact)
      let gone = try forwarded() - before
      #expect(gone > UInt64(bytes) / 2, "\(ipv6), \(gone) bytes")
    }
    for node in Array(overlay.hosts.values) + [a1.node, b1.node] { #expect(try node.checksumErrors() == 0) }
    // One UDP_SEGMENT of five whole datagrams, and one with a shorter last: each arrives.
    let receiver = Box(try b1.node.open { try DatagramSocket(b1.ipv4, 7100) })
    let sender = Box(try a1.node.open { try DatagramSocket(a1.ipv4, 7100) })
    for size in [5 * 1000, 5 * 1000 + 17] {
      try sender.value.send([UInt8](repeating: 9, count: size), to: b1.ipv4, 7100, segment: 1000)
      #expect(receiver.value.receive(size) == size)
    }
    for node in Array(overlay.hosts.values) + [a1.node, b1.node] { #expect(try node.checksumErrors() == 0) }
  }

  static func masked(_ frame: [UInt8]) -> [UInt8] {
    var frame = frame
    for index in [54, 55, 60, 61] { frame[index] = 0 }
    return frame
  }

  static func hasChecksum(_ frame: [UInt8]) -> Bool { frame[60] != 0 || frame[61] != 0 }

  static func checksumHolds(_ frame: [UInt8]) -> Bool {
    let udp = Array(frame[54...])
    return internetChecksum(Array(frame[22..<54]) + [0, 0] + be(UInt16(udp.count)) + [0, 0, 0, 17] + udp) == 0
  }
}
