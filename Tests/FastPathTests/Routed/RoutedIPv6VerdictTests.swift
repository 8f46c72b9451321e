// SPDX-License-Identifier: Apache-2.0
import FastPath
import Lab
import LinuxSystem
import TestSupport
import Testing

/// IPv6 inside, frame by frame: what leaves the uplink, what is answered and what reaches a container is what it is with the
/// kernel alone, save what a sender may choose of the outer header.
@Suite(.serialized, .enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
struct RoutedIPv6VerdictTests {
  typealias Case = RoutedWire.Case

  struct Shape: Sendable, CustomTestStringConvertible {
    var network: LabSpec.Network
    var overIPv6: Bool
    var tier = Tier.tc
    var testDescription: String { "\(network.rawValue) over \(overIPv6 ? "IPv6" : "IPv4") by \(tier.rawValue)" }
  }

  @Test(arguments: [
    Shape(network: .flannel, overIPv6: false), Shape(network: .calico, overIPv6: true),
    Shape(network: .calico, overIPv6: false, tier: .xdp),
  ])
  func fromAContainer(_ shape: Shape) throws {
    let lab = try prepared(shape)
    let cases = try Self.cases(lab)
    let wire = try RoutedWire(lab, from: "a1", watching: "hostB", ipv6: true)
    let kernel = try cases.map { try wire.send($0) }
    let service = try lab.start(.a, shape.tier)
    // One packet of each source goes to the kernel first, to refresh its entry.
    _ = try wire.send(cases[0])
    try compare(cases, kernel, service, "encapsulated", shape.tier) { try wire.send($0, expecting: $1) }
    for reason in ["route", "ip-header"] { #expect(try service.count(reason) > 0, "\(reason)") }
    try service.stop()
  }

  @Test(arguments: [
    Shape(network: .calico, overIPv6: false), Shape(network: .flannel, overIPv6: true),
    Shape(network: .calico, overIPv6: true, tier: .xdp),
  ])
  func fromAnotherHost(_ shape: Shape) throws {
    let lab = try prepared(shape)
    let cases = try Self.outerCases(lab)
    let wire = try RoutedWire(lab, from: "hostB", watching: "a1", ipv6: true)
    let kernel = try cases.map { try wire.send($0) }
    let service = try lab.start(.a, shape.tier)
    try compare(cases, kernel, service, "decapsulated", shape.tier) { try wire.send($0, expecting: $1) }
    try service.stop()
  }

  /// IPv4 inside, over IPv6.
  @Test func ofIPv4OverIPv6() throws {
    let lab = try prepared(Shape(network: .flannel, overIPv6: true))
    // Those that are carried, whatever is outside, and some that are not.
    let out = Array(try RoutedVerdictTests.cases(lab).prefix(40))
    let wire = try RoutedWire(lab, from: "a1", watching: "hostB")
    let kernel = try out.map { try wire.send($0) }
    let (inwards, back) = (try Self.innerCases(lab), try RoutedWire(lab, from: "hostB", watching: "a1"))
    let received = try inwards.map { try back.send($0) }
    let service = try lab.start(.a)
    _ = try wire.send(out[0])
    try compare(out, kernel, service, "encapsulated", .tc) { try wire.send($0, expecting: $1) }
    try compare(inwards, received, service, "decapsulated", .tc) { try back.send($0, expecting: $1) }
    try service.stop()
  }

  private func compare(
    _ cases: [Case], _ kernel: [RoutedWire.Outcome], _ service: FastPathService, _ verdict: String,
    _ tier: Tier, _ send: (Case, RoutedWire.Outcome) throws -> RoutedWire.Outcome
  ) throws {
    for (one, expected) in zip(cases, kernel) {
      let before = try service.count(verdict)
      let ours = try send(one, expected)
      #expect(ours == expected, "\(one.name)")
      #expect(try service.count(verdict) - before == (one.isCarried(by: tier) ? 1 : 0), "\(one.name)")
    }
    #expect(kernel[0].there.count == 1)
  }

  private func prepared(_ shape: Shape) throws -> RoutedLab {
    let lab = try RoutedLab(shape.network, containers: 2, overIPv6: shape.overIPv6)
    for node in lab.lab.nodes {
      try node.run {
        try FileText.write("0", to: "/proc/sys/net/ipv4/icmp_ratelimit")
        try FileText.write("0", to: "/proc/sys/net/ipv6/icmp/ratelimit")
      }
    }
    for other in ["a2", "b1", "b2"] {
      for ipv6 in [false, true] { #expect(try lab.answers("a1", other, count: 1, ipv6: ipv6) == 1) }
    }
    // Who is not known yet has no address of its link in a redirect.
    #expect(try lab.answers("hostA", "a2", count: 1, ipv6: true) == 1)
    return lab
  }

  // MARK: - Cases

  static func cases(_ lab: RoutedLab) throws -> [Case] {
    var all: [Case] = []
    func add(_ name: String, fast: Bool = false, fastRaw: Bool = false, redirected: Bool = false,
      _ kind: TestPacket.Kind = .udp6, to: String = "b1", _ change: (inout TestPacket) -> Void = { _ in }, bytes: (inout [UInt8]) -> Void = { _ in }
    ) throws {
      var packet = try lab.packet(kind, "a1", to)
      change(&packet)
      var frame = packet.bytes
      bytes(&frame)
      all.append(Case(name: name, frame: frame, isFast: fast, isFastRaw: fastRaw, isRedirected: redirected))
    }
    for kind in [TestPacket.Kind.udp6, .tcp6, .icmp6] {
      for mark in [0, 1, 2, 3, 0xb8] as [UInt8] {
        try add("\(kind) class \(mark)", fast: true, kind, { $0.trafficClass = mark; $0.ttl = 33 })
      }
      try add("\(kind) flow label", fast: true, kind, bytes: { $0[15] |= 0xa; $0[16] = 0xbc; $0[17] = 0xde })
      try add("\(kind) hop limit 2", fast: true, kind, { $0.ttl = 2 })
      try add("\(kind) hop limit 1", kind, { $0.ttl = 1 })
      try add("\(kind) hop limit 0", kind, { $0.ttl = 0 })
    }
    try add("UDP of 1 byte", fast: true, .udp6, { $0.payload = [7] })
    try add("UDP that fills the MTU", fast: true, .udp6, { $0.payload = .init(repeating: 5, count: lab.mtu - 48) })
    for (name, address) in special { try add("to \(name)", .udp6, { $0.destinationAddress = address }) }
    for (name, address) in special { try add("from \(name)", .udp6, { $0.sourceAddress = address }) }
    try add("no route", .udp6, { $0.destinationAddress = Self.address([0x2001, 2, 0, 9, 0, 0, 0, 1]) })
    try add("to an address that no container has", redirected: true, .udp6, { $0.destinationAddress[15] = 77; $0.destinationAddress[13] = 0xa })
    try add("to the host", .icmp6, { $0.destinationAddress = Self.address([0x2001, 2, 0, 2, 0, 0, 0, 1]) })
    try add("from the host", .udp6, { $0.sourceAddress = Self.address([0x2001, 2, 0, 2, 0, 0, 0, 1]) })
    try add("from a container of the other host", .udp6, { $0.sourceAddress[13] = 0xb; $0.sourceAddress[15] = 2 })
    try add("bad version", bytes: { $0[14] = 0x50 })
    for (name, number, header) in extensions {
      try add(name, bytes: { Self.insert(number, header, into: &$0) })
    }
    try add("no next header", bytes: { $0[20] = 59 })
    try add("first fragment", bytes: { Self.insert(44, [17, 0, 0, 1, 0, 0, 0, 9], into: &$0) })
    try add("last fragment", bytes: { Self.insert(44, [17, 0, 5, 0, 0, 0, 0, 9], into: &$0) })
    try add("padded", bytes: { $0 += [0, 0, 0, 0, 0, 0] })
    try add("cut short", bytes: { $0.removeLast(4) })
    try add("UDP without a checksum", fastRaw: true, bytes: { ($0[60], $0[61]) = (0, 0) })
    try add("UDP with a wrong checksum", fastRaw: true, bytes: { $0[61] ^= 1 })
    try add("not to the router", bytes: { $0[5] ^= 1 })
    try add("to its neighbour by the router", redirected: true, to: "a2")
    return all
  }

  static func outerCases(_ lab: RoutedLab) throws -> [Case] {
    var all: [Case] = []
    let (a, b) = (lab.host(.a), lab.host(.b))
    func add(_ name: String, fast: Bool = false, _ kind: TestPacket.Kind = .udp6, mark: UInt8 = 0,
      _ change: (inout TestPacket) -> Void = { _ in }, inner: (inout [UInt8]) -> Void = { _ in }
    ) throws {
      var packet = try lab.packet(kind, "b1", "a1")
      packet.source = b.overlayMAC.octets
      packet.destination = a.overlayMAC.octets
      change(&packet)
      var bytes = packet.bytes
      inner(&bytes)
      all.append(Case(name: name, frame: lab.encapsulated(bytes, tos: mark), isFast: fast))
    }
    for kind in [TestPacket.Kind.udp6, .tcp6, .icmp6] {
      try add("\(kind)", fast: true, kind)
      try add("\(kind) hop limit 2", fast: true, kind, { $0.ttl = 2 })
      try add("\(kind) hop limit 1", kind, { $0.ttl = 1 })
      try add("\(kind) class 0x2e", fast: true, kind, { $0.trafficClass = 0xb8 })
      try add("\(kind) flow label", fast: true, kind, inner: { $0[16] = 0xbc })
    }
    for mark in [1, 2, 3] as [UInt8] {
      for inside in [0, 1, 2, 3] as [UInt8] {
        let stays = inside != 0 && (mark == 2 || mark == inside || inside == 3 || (mark == 1 && inside != 2))
        try add("ECN \(mark) outside, \(inside) inside", fast: stays, .udp6, mark: mark, { $0.trafficClass = inside })
      }
    }
    try add("UDP that fills the MTU", fast: true, .udp6, { $0.payload = .init(repeating: 5, count: lab.mtu - 48) })
    for (name, address) in special { try add("to \(name)", .udp6, { $0.destinationAddress = address }) }
    for (name, address) in special { try add("from \(name)", .udp6, { $0.sourceAddress = address }) }
    try add("padded", inner: { $0 += [0, 0, 0, 0] })
    for (name, number, header) in extensions {
      try add(name, inner: { Self.insert(number, header, into: &$0) })
    }
    try add("bad version", inner: { $0[14] = 0x50 })
    try add("to an address that no container has", .udp6, { $0.destinationAddress[15] = 77 })
    try add("to the host", .icmp6, { $0.destinationAddress = Self.address([0x2001, 2, 0, 2, 0, 0, 0, 1]) })
    try add("from a container of this host", .udp6, { $0.sourceAddress[13] = 0xa; $0.sourceAddress[15] = 2 })
    try add("to another MAC", inner: { $0[5] ^= 1 })
    try add("from an unknown MAC", inner: { $0[11] ^= 1 })
    try add("to a group's MAC", inner: { $0[0] |= 1 })
    return all
  }

  /// Of IPv4 inside, what differs by what is outside.
  static func innerCases(_ lab: RoutedLab) throws -> [Case] {
    let (a, b) = (lab.host(.a), lab.host(.b))
    func one(_ name: String, _ kind: TestPacket.Kind, fast: Bool = true, mark: UInt8 = 0, _ change: (inout TestPacket) -> Void = { _ in })
      throws -> Case
    {
      var packet = try lab.packet(kind, "b1", "a1")
      packet.source = b.overlayMAC.octets
      packet.destination = a.overlayMAC.octets
      change(&packet)
      return Case(name: name, frame: lab.encapsulated(packet.bytes, tos: mark), isFast: fast)
    }
    return try [TestPacket.Kind.udp4, .tcp4, .icmp4].flatMap { kind in
      [
        try one("\(kind)", kind), try one("\(kind) of nothing", kind) { $0.payload = [] },
        try one("\(kind) TTL 1", kind, fast: false) { $0.ttl = 1 },
        try one("\(kind) ECN 3 outside, 1 inside", kind, fast: false, mark: 3) { $0.trafficClass = 1 },
        try one("\(kind) that fills the MTU", kind) { $0.payload = .init(repeating: 5, count: lab.mtu - 40) },
      ]
    }
  }

  private static func address(_ groups: [UInt16]) -> [UInt8] { groups.flatMap { be($0) } }

  private static let special: [(String, [UInt8])] = [
    ("a group", address([0xff0e, 0, 0, 0, 0, 0, 0, 0x101])), ("a link's address", address([0xfe80, 0, 0, 0, 0, 0, 0, 0x77])),
    ("loopback", address([0, 0, 0, 0, 0, 0, 0, 1])), ("nowhere", address([0, 0, 0, 0, 0, 0, 0, 0])),
    ("IPv4's in IPv6", address([0, 0, 0, 0, 0, 0xffff, 0xc613, 2])),
  ]

  /// A header of padding, of a route that is at its end, of a whole packet's fragment.
  private static let extensions: [(String, UInt8, [UInt8])] = [
    ("hop-by-hop options", 0, [17, 0, 1, 4, 0, 0, 0, 0]), ("destination options", 60, [17, 0, 1, 4, 0, 0, 0, 0]),
    ("router alert", 0, [17, 0, 5, 2, 0, 0, 1, 0]), ("a routing header", 43, [17, 0, 4, 0, 0, 0, 0, 0]),
    ("an atomic fragment", 44, [17, 0, 0, 0, 0, 0, 0, 9]),
  ]

  /// Between IPv6's header and UDP's.
  private static func insert(_ number: UInt8, _ header: [UInt8], into frame: inout [UInt8]) {
    frame.insert(contentsOf: header, at: 54)
    frame[20] = number
    frame.replaceSubrange(18..<20, with: be(UInt16(frame.count - 54)))
  }
}
