// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import TestSupport
import Testing

@testable import FastPath

/// What arrives over an IPv6 underlay becomes what the kernel's own device makes of it.
@Suite(.serialized, .enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
struct ReceivedOverIPv6Tests {
  struct Sent {
    var name: String
    var frame: [UInt8]
    /// Whether the fast path is to take it; nil: not looked at.
    var isTaken: Bool?
  }

  /// A frame from host b's VTEP to host a's.
  struct Outer {
    var trafficClass: UInt8 = 0
    var hopLimit: UInt8 = 64
    var hasChecksum = true
    var vni: UInt8 = 42
    var flags: UInt8 = 8
    var source: [UInt8] = Self.address(2)
    /// A header between IPv6's and UDP's, and its number.
    var header: (number: UInt8, bytes: [UInt8])?
    var padding = 0

    static func address(_ number: UInt8) -> [UInt8] {
      [0x20, 1, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, number]
    }

    func frame(_ inner: [UInt8], _ overlay: TestOverlay) throws -> [UInt8] {
      func mac(_ host: String) throws -> [UInt8] {
        try overlay.hosts[host]!.mac(of: "eth0").split(separator: ":").map { UInt8($0, radix: 16)! }
      }
      var udp = be(40000 as UInt16) + be(4789 as UInt16) + be(UInt16(inner.count + 16)) + [0, 0]
      udp += [flags, 0, 0, 0, 0, 0, vni, 0] + inner
      if hasChecksum {
        let pseudo = source + Self.address(1) + [0, 0] + be(UInt16(udp.count)) + [0, 0, 0, 17]
        let sum = internetChecksum(pseudo + udp)
        udp.replaceSubrange(6..<8, with: be(sum == 0 ? 0xffff : sum))
      }
      let payload = (header?.bytes ?? []) + udp
      let first: [UInt8] = [0x60 | trafficClass >> 4, trafficClass << 4, 0, 0]
      return try mac("a") + mac("b") + [0x86, 0xdd] + first + be(UInt16(payload.count))
        + [header?.number ?? 17, hopLimit] + source + Self.address(1) + payload + [UInt8](repeating: 0, count: padding)
    }
  }

  /// - Parameter takesShort: also IPv4 packets that are shorter than an IPv6 header.
  static func sent(_ overlay: TestOverlay, takesZero: Bool, takesShort: Bool) throws -> [Sent] {
    var all: [Sent] = []
    func add(
      _ name: String, _ packet: TestPacket, taken: Bool?, _ change: (inout Outer) -> Void = { _ in }
    ) throws {
      var outer = Outer()
      change(&outer)
      all.append(Sent(name: name, frame: try outer.frame(packet.bytes, overlay), isTaken: taken))
    }
    for kind in TestPacket.Kind.allCases {
      let packet = overlay.packet(kind, "b1", "a1")
      try add("\(kind)", packet, taken: true)
      for (outer, inner) in [(3, 2), (3, 1), (1, 2), (2, 1), (3, 3)] as [(UInt8, UInt8)] {
        var marked = packet
        marked.trafficClass = inner
        try add("\(kind), ECN \(outer) over \(inner)", marked, taken: true) { $0.trafficClass = outer }
      }
      for mark in 1...3 as ClosedRange<UInt8> {
        try add("\(kind), ECN \(mark) over none", packet, taken: false) { $0.trafficClass = mark }
      }
      try add("\(kind), no checksum", packet, taken: takesZero) { $0.hasChecksum = false }
      try add("\(kind), hop limit 1", packet, taken: true) { $0.hopLimit = 1 }
      var empty = packet
      empty.payload = []
      try add("\(kind), nothing inside", empty, taken: takesShort || ![.udp4, .icmp4].contains(kind))
    }
    let packet = overlay.packet(.udp4, "b1", "a1")
    // Destination options of six bytes of padding; a fragment header of a whole packet.
    try add("destination options", packet, taken: false) { $0.header = (60, [17, 0, 1, 4, 0, 0, 0, 0]) }
    try add("an atomic fragment", packet, taken: false) { $0.header = (44, [17, 0, 0, 0, 0, 0, 0, 9]) }
    try add("another VNI", packet, taken: false) { $0.vni = 43 }
    try add("no VNI flag", packet, taken: false) { $0.flags = 0 }
    try add("padding", packet, taken: false) { $0.padding = 3 }
    return all
  }

  @Test(arguments: [false, true], [Tier.tc, .xdp]) func itIsWhatTheKernelMakesOfIt(takesZero: Bool, tier: Tier) throws {
    let overlay = try TestOverlay(vxlan: takesZero ? "udp6zerocsumrx" : "", ipv6: false, overIPv6: true)
    let wire = Box(try overlay.hosts["b"]!.open { try PacketSocket(interface: "eth0") })
    let container = Box(try overlay.containers["a1"]!.node.open { try PacketSocket(interface: "eth0") })
    // Before Linux 6.3 tier tc cannot say that what is left of the skb is IPv4.
    let takesShort = try tier != .tc || TCTier.decapsulationFlags() & UInt64(TCTier.innerIsIPv4) != 0
    let all = try Self.sent(overlay, takesZero: takesZero, takesShort: takesShort)
    /// What of a frame arrives inside; a last one, which does, tells that nothing more comes.
    func arrives(_ sent: Sent) throws -> [[UInt8]] {
      var last = overlay.packet(.udp4, "b1", "a1")
      last.payload = Array("the last one".utf8)
      try wire.value.send(sent.frame)
      try wire.value.send(Outer().frame(last.bytes, overlay))
      var frames: [[UInt8]] = []
      // Not what the container answers.
      while let frame = container.value.receive(milliseconds: 1000, where: { $0.starts(with: last.bytes.prefix(12)) }),
        frame != last.bytes
      { frames.append(frame) }
      return frames
    }
    let kernel = try all.map(arrives)
    let service = try overlay.start("a") { $0.tier = tier }
    defer { try? service.stop() }
    _ = try arrives(all[0])
    func uplink() throws -> Stats.Port? { try service.stats().ports.first { $0.name == "eth0" } }
    func taken() throws -> UInt64 { try uplink()?.forwarded["decapsulated"]?.packets ?? 0 }
    #expect(try eventually { _ = try arrives(all[0]); return try taken() > 0 })
    for (sent, expected) in zip(all, kernel) {
      let before = try taken()
      #expect(try arrives(sent) == expected, "\(sent.name)")
      if let isTaken = sent.isTaken {
        #expect(try taken() - before == (isTaken ? 2 : 1), "\(sent.name)")
      }
    }
    #expect(try uplink()?.passed["unsupported"]?.packets ?? 0 == (takesShort ? 0 : 2))
  }

  @Test func strictDropsVXLANFromSendersThatAreNoVTEP() throws {
    let overlay = try TestOverlay(ipv6: false, overIPv6: true)
    let service = try overlay.start("a") {
      $0.tier = .tc
      $0.strict = true
    }
    defer { try? service.stop() }
    let wire = Box(try overlay.hosts["b"]!.open { try PacketSocket(interface: "eth0") })
    let inner = overlay.packet(.udp4, "b1", "a1").bytes
    func dropped() throws -> UInt64 {
      try service.stats().ports.first { $0.name == "eth0" }?.dropped["not-a-vtep"]?.packets ?? 0
    }
    // The same last four octets as the VTEP's: each octet counts.
    var stranger = Outer()
    stranger.source[9] = 1
    #expect(try eventually { try wire.value.send(stranger.frame(inner, overlay)); return try dropped() > 0 })
    let before = try dropped()
    try wire.value.send(Outer().frame(inner, overlay))
    try wire.value.send(stranger.frame(inner, overlay))
    #expect(try eventually { try dropped() == before + 1 })
  }

  /// Not even for an instant after the VTEP's own packet, whose outcome is remembered.
  @Test func aSenderThatDiffersInAnyOctetIsNotTheVTEP() throws {
    let overlay = try TestOverlay(vxlan: "nolearning", ipv6: false, overIPv6: true)
    let service = try overlay.start("a") { $0.tier = .tc }
    defer { try? service.stop() }
    let wire = Box(try overlay.hosts["b"]!.open { try PacketSocket(interface: "eth0") })
    let inner = overlay.packet(.udp4, "b1", "a1").bytes
    func uplink() throws -> Stats.Port { try #require(try service.stats().ports.first { $0.name == "eth0" }) }
    #expect(
      try eventually {
        try wire.value.send(Outer().frame(inner, overlay))
        return try uplink().forwarded["decapsulated"] != nil
      })
    for octet in 0..<16 {
      var stranger = Outer()
      stranger.source[octet] ^= 4
      let before = try uplink()
      for _ in 0..<3 {
        try wire.value.send(Outer().frame(inner, overlay))
        try wire.value.send(stranger.frame(inner, overlay))
      }
      let isOver = try eventually { try uplink().received.packets >= before.received.packets + 6 }
      let after = try uplink()
      #expect(isOver)
      #expect(
        after.forwarded["decapsulated"]!.packets - before.forwarded["decapsulated"]!.packets <= 3, "octet \(octet)")
    }
  }
}
