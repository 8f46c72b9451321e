// SPDX-License-Identifier: Apache-2.0
import FastPath
import Glibc
import Lab
import LinuxSystem
import TestSupport
import Testing

/// Frame by frame: what leaves the uplink, what is answered and what reaches a container is what it is with the kernel
/// alone, save UDP source port, IP identification and the sums over them.
@Suite(.serialized, .enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
struct RoutedVerdictTests {
  typealias Case = RoutedWire.Case

  struct Way: Sendable, CustomTestStringConvertible {
    var network: LabSpec.Network
    var tier = Tier.tc
    var testDescription: String { "\(network.rawValue), \(tier.rawValue)" }
    static let byTC = RoutedOverlayTests.networks.map { Way(network: $0) }
  }

  @Test(arguments: Way.byTC + [Way(network: .flannel, tier: .xdp)]) func fromAContainer(_ way: Way) throws {
    let (network, tier) = (way.network, way.tier)
    let lab = try prepared(network)
    let cases = try Self.cases(lab)
    let wire = try RoutedWire(lab, from: "a1", watching: "hostB")
    let kernel = try cases.map { try wire.send($0) }
    let service = try lab.start(.a, tier)
    // One packet of each source goes to the kernel first, to refresh its entry.
    _ = try wire.send(cases[0])
    let before = try service.count("encapsulated")
    let ours = try zip(cases, kernel).map { try wire.send($0, expecting: $1) }
    let fast = try service.count("encapsulated") - before
    for reason in ["route", "ip-header"] { #expect(try service.count(reason) > 0, "\(reason)") }
    try service.stop()
    for (index, one) in cases.enumerated() { #expect(ours[index] == kernel[index], "\(one.name)") }
    #expect(fast == UInt64(cases.filter { $0.isCarried(by: tier) }.count))
    #expect(kernel[0].there.count == 1)
  }

  @Test(arguments: Way.byTC + [Way(network: .calico, tier: .xdp)]) func fromAnotherHost(_ way: Way) throws {
    let (network, tier) = (way.network, way.tier)
    let lab = try prepared(network)
    let cases = try Self.outerCases(lab)
    let wire = try RoutedWire(lab, from: "hostB", watching: "a1")
    let kernel = try cases.map { try wire.send($0) }
    let service = try lab.start(.a, tier)
    let before = try service.count("decapsulated")
    let ours = try zip(cases, kernel).map { try wire.send($0, expecting: $1) }
    let fast = try service.count("decapsulated") - before
    try service.stop()
    for (index, one) in cases.enumerated() { #expect(ours[index] == kernel[index], "\(one.name)") }
    #expect(fast == UInt64(cases.filter(\.isFast).count))
    #expect(kernel[0].there.count == 1)
  }

  private func prepared(_ network: LabSpec.Network) throws -> RoutedLab {
    let lab = try RoutedLab(network, containers: 2)
    for node in lab.lab.nodes {
      try node.run {
        try FileText.write("0", to: "/proc/sys/net/ipv4/icmp_ratelimit")
      }
    }
    for other in ["a2", "b1", "b2"] { #expect(try lab.answers("a1", other, count: 1) == 1) }
    return lab
  }

  // MARK: - Cases

  static func cases(_ lab: RoutedLab) throws -> [Case] {
    var all: [Case] = []
    func add(_ name: String, fast: Bool = false, fastRaw: Bool = false, redirected: Bool = false,
      _ kind: TestPacket.Kind = .udp4, to: String = "b1", _ change: (inout TestPacket) -> Void = { _ in }, bytes: (inout [UInt8]) -> Void = { _ in }
    ) throws {
      var packet = try lab.packet(kind, "a1", to)
      change(&packet)
      var frame = packet.bytes
      bytes(&frame)
      all.append(Case(name: name, frame: frame, isFast: fast, isFastRaw: fastRaw, isRedirected: redirected))
    }
    for kind in [TestPacket.Kind.udp4, .tcp4, .icmp4] {
      for tos in [0, 1, 2, 3, 0xb8] as [UInt8] {
        try add("\(kind) tos \(tos)", fast: true, kind, { $0.trafficClass = tos; $0.ttl = 33 })
      }
      try add("\(kind) without DF", fast: true, kind, { $0.dontFragment = false })
      try add("\(kind) ttl 2", fast: true, kind, { $0.ttl = 2 })
      try add("\(kind) ttl 1", kind, { $0.ttl = 1 })
      try add("\(kind) ttl 0", kind, { $0.ttl = 0 })
    }
    try add("UDP of 1 byte", fast: true, .udp4, { $0.payload = [7] })
    try add("UDP that fills the MTU", fast: true, .udp4, { $0.payload = .init(repeating: 5, count: lab.mtu - 28) })
    try add("no route", bytes: { Self.setDestination(&$0, [198, 19, 64, 1]) })
    try add("to an address that no container has", redirected: true, bytes: { Self.setDestination(&$0, [198, 19, 0, 77]) })
    try add("to the host", .icmp4, bytes: { Self.setDestination(&$0, [198, 18, 0, 1]) })
    try add("to broadcast", bytes: { Self.setDestination(&$0, [255, 255, 255, 255]) })
    try add("to loopback", bytes: { Self.setDestination(&$0, [127, 0, 0, 1]) })
    try add("to a group", bytes: { Self.setDestination(&$0, [239, 1, 1, 1]) })
    try add("from loopback", bytes: { Self.setSource(&$0, [127, 0, 0, 1]) })
    try add("from nowhere", bytes: { Self.setSource(&$0, [0, 0, 0, 0]) })
    try add("from the host", bytes: { Self.setSource(&$0, [198, 18, 0, 1]) })
    try add("from a container of the other host", bytes: { Self.setSource(&$0, [198, 19, 128, 2]) })
    try add("bad IP checksum", bytes: { $0[24] ^= 0x40 })
    try add("bad version", bytes: { $0[14] = 0x55 })
    try add("options", bytes: { Self.addOptions(&$0) })
    try add("first fragment", bytes: { Self.setFragment(&$0, 0x2000) })
    try add("last fragment", bytes: { Self.setFragment(&$0, 0x0010) })
    try add("padded", bytes: { $0 += [0, 0, 0, 0, 0, 0] })
    try add("cut short", bytes: { $0.removeLast(4) })
    try add("UDP without a checksum", fastRaw: true, bytes: { ($0[40], $0[41]) = (0, 0) })
    try add("UDP with a wrong checksum", fastRaw: true, bytes: { $0[41] ^= 1 })
    try add("not to the router", bytes: { $0[5] ^= 1 })
    try add("to its neighbour by the router", redirected: true, to: "a2")
    return all
  }

  static func outerCases(_ lab: RoutedLab) throws -> [Case] {
    var all: [Case] = []
    let (a, b) = (lab.host(.a), lab.host(.b))
    func add(_ name: String, fast: Bool = false, _ kind: TestPacket.Kind = .udp4, tos: UInt8 = 0,
      _ change: (inout TestPacket) -> Void = { _ in }, inner: (inout [UInt8]) -> Void = { _ in },
      outer: (inout [UInt8]) -> Void = { _ in }
    ) throws {
      var packet = try lab.packet(kind, "b1", "a1")
      packet.source = b.overlayMAC.octets
      packet.destination = a.overlayMAC.octets
      change(&packet)
      var bytes = packet.bytes
      inner(&bytes)
      var frame = lab.encapsulated(bytes, tos: tos)
      outer(&frame)
      all.append(Case(name: name, frame: frame, isFast: fast))
    }
    for kind in [TestPacket.Kind.udp4, .tcp4, .icmp4] {
      try add("\(kind)", fast: true, kind)
      try add("\(kind) ttl 2", fast: true, kind, { $0.ttl = 2 })
      try add("\(kind) ttl 1", kind, { $0.ttl = 1 })
      try add("\(kind) class 0x2e", fast: true, kind, { $0.trafficClass = 0xb8 })
    }
    for mark in [1, 2, 3] as [UInt8] {
      for inside in [0, 1, 2, 3] as [UInt8] {
        try add("ECN \(mark) outside, \(inside) inside", fast: inside != 0 && (mark == 2 || mark == inside || inside == 3 || (mark == 1 && inside != 2)), tos: mark, { $0.trafficClass = inside })
      }
    }
    try add("UDP that fills the MTU", fast: true, .udp4, { $0.payload = .init(repeating: 5, count: lab.mtu - 28) })
    try add("padded", inner: { $0 += [0, 0, 0, 0] })
    try add("options", inner: { Self.addOptions(&$0) })
    try add("fragment", inner: { Self.setFragment(&$0, 0x2000) })
    try add("bad IP checksum", inner: { $0[24] ^= 0x40 })
    try add("to an address that no container has", inner: { Self.setDestination(&$0, [198, 19, 0, 77]) })
    try add("to the host", .icmp4, inner: { Self.setDestination(&$0, [198, 18, 0, 1]) })
    try add("from a container of this host", inner: { Self.setSource(&$0, [198, 19, 0, 2]) })
    try add("from loopback", inner: { Self.setSource(&$0, [127, 0, 0, 1]) })
    try add("to another MAC", inner: { $0[5] ^= 1 })
    try add("from an unknown MAC", inner: { $0[11] ^= 1 })
    try add("to a group's MAC", inner: { $0[0] |= 1 })
    try add("wrong VNI", outer: { $0[47] ^= 1 })
    try add("no I flag", outer: { $0[42] = 0 })
    try add("reserved bits", outer: { $0[49] = 1 })
    try add("bad outer checksum", outer: { $0[24] ^= 1 })
    try add("to another UDP port", outer: { $0[37] ^= 1 })
    try add("from no VTEP", outer: { frame in
      frame[29] = 77
      Self.renewOuterSum(&frame)
    })
    return all
  }

  private static func renewSum(_ frame: inout [UInt8], at start: Int = 14) {
    let length = Int(frame[start] & 15) * 4
    (frame[start + 10], frame[start + 11]) = (0, 0)
    frame.replaceSubrange(
      start + 10..<start + 12, with: be(internetChecksum(Array(frame[start..<start + length]))))
  }
  private static func renewOuterSum(_ frame: inout [UInt8]) { renewSum(&frame) }

  /// With the sum of layer 4 as right as before.
  private static func set(_ frame: inout [UInt8], _ place: Int, _ address: [UInt8]) {
    func sum(_ bytes: ArraySlice<UInt8>) -> UInt32 {
      stride(from: bytes.startIndex, to: bytes.endIndex, by: 2).reduce(0) {
        $0 + UInt32(bytes[$1]) << 8 + UInt32(bytes[$1 + 1])
      }
    }
    let before = sum(frame[place..<place + 4])
    frame.replaceSubrange(place..<place + 4, with: address)
    if frame[23] == 17 {
      var check = UInt32(~(UInt16(frame[40]) << 8 | UInt16(frame[41])))
      check += (0xffff * 2 - before) + sum(frame[place..<place + 4])
      while check >> 16 != 0 { check = (check & 0xffff) + (check >> 16) }
      frame.replaceSubrange(40..<42, with: be(~UInt16(check)))
    }
    renewSum(&frame)
  }
  private static func setDestination(_ frame: inout [UInt8], _ address: [UInt8]) { set(&frame, 30, address) }
  private static func setSource(_ frame: inout [UInt8], _ address: [UInt8]) { set(&frame, 26, address) }

  private static func setFragment(_ frame: inout [UInt8], _ field: UInt16) {
    frame.replaceSubrange(20..<22, with: be(field))
    renewSum(&frame)
  }

  private static func addOptions(_ frame: inout [UInt8]) {
    frame.insert(contentsOf: [1, 1, 1, 1], at: 34)
    frame[14] = 0x46
    frame.replaceSubrange(16..<18, with: be(UInt16(frame.count - 14)))
    renewSum(&frame)
  }
}
