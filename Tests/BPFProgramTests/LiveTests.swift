// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import CBPFObjects
import Glibc
import LinuxSystem
import PacketHeaders
import TestSupport
import Testing

/// Frames that really move: generator, sink, encapsulation and decapsulation between veths, and the
/// counter of what did not leave.
@Suite(.serialized, .enabled(if: mayUseKernel, .init(rawValue: needsRoot)))
struct LiveTests {
  static func load(_ embedded: culvert_bpf_object) throws -> BPFObject {
    var object = try BPFObject(name: String(cString: embedded.name), data: embedded.data, size: embedded.size)
    try object.load()
    return object
  }

  static func index(_ name: String) throws -> UInt32 {
    let index = if_nametoindex(name)
    try #require(index != 0, "\(name)")
    return index
  }

  /// eth0 ── va, na ── nb: the container's veth and the wire, in one namespace.
  static func topology(gro: Bool = true) throws {
    for pair in [["eth0", "va"], ["na", "nb"]] {
      try shell("ip", "link", "add", pair[0], "type", "veth", "peer", "name", pair[1])
      for name in pair {
        try shell("sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/\(name)/disable_ipv6")
        try shell("ip", "link", "set", name, "up")
      }
    }
    if gro { for name in ["eth0", "nb"] { try shell("ethtool", "-K", name, "gro", "on") } }
  }

  struct Sunk: Equatable {
    var packets: UInt64
    var bytes: UInt64
    init(_ map: borrowing BPFMap<UInt32, culvert_sunk>) throws {
      let cpus = try #require(try map.perCPU(0))
      packets = cpus.reduce(0) { $0 + $1.packets }
      bytes = cpus.reduce(0) { $0 + $1.bytes }
    }
  }

  static func template(_ frame: [UInt8]) -> culvert_template {
    var template = culvert_template()
    withUnsafeMutableBytes(of: &template.data) { $0.copyBytes(from: frame.prefix($0.count)) }
    template.bytes = UInt32(min(frame.count, 128))
    return template
  }

  /// Container to wire: all that was sent is counted as encapsulated and arrives, 50 bytes longer; pages
  /// come round several times.
  @Test func encapsulatesLiveFrames() throws {
    let namespace = try NetworkNamespace.makeAnonymous()
    try namespace.run {
      try Self.topology()
      let fixture = try Fixture(.xdp)
      let bench = try Self.load(culvert_bpf_bench())
      let generator: BPFMap<UInt32, culvert_generator> = try bench.map("generator")
      let template: BPFMap<UInt32, culvert_template> = try bench.map("template")
      let sunk: BPFMap<UInt32, culvert_sunk> = try bench.map("sunk")
      try fixture.setPort(0, ifindex: try Self.index("na"), mtu: 1500, mac: Outer.uplink)
      try fixture.setPort(1, ifindex: try Self.index("va"))
      try fixture.portByIfindex.update(culvert_port_place(try Self.index("va")), 1)
      try fixture.devices.update(0, try Self.index("na"))
      let port = try XDPLink(
        attaching: fixture.port, to: try Self.index("va"), interface: "va", mode: .native)
      let sink = try XDPLink(
        attaching: try bench.program("culvert_sink"), to: try Self.index("nb"), interface: "nb", mode: .native
      )
      let frame = Frames.v4(Frames.udp([UInt8](repeating: 0x42, count: 100)))
      try template.update(0, Self.template(frame))
      try generator.update(
        0,
        culvert_generator(
          rate: 200_000, stop_ns: Clock.monotonicNanoseconds + 400_000_000, last_ns: 0, tokens: 0, sent: 0,
          sequence_offset: 0, stamp_offset: 0))
      let generate = try bench.program("culvert_generate")
      try CPU.pin(to: 0)
      try generate.runLiveFrames(frame, ingress: try Self.index("eth0"), repetitions: 2_000_000)
      let sent = try #require(try generator.lookup(0)).sent
      #expect(sent > 10_000)
      let counted = try fixture.totals().packets[1][Int(CULVERT_FORWARDED_ENCAP.rawValue)]
      #expect(counted == sent)
      let arrived = try Sunk(sunk)
      #expect(arrived.packets == sent)
      #expect(arrived.bytes == sent * UInt64(frame.count + 50))
      let attached = port.isAttached && sink.isAttached
      #expect(attached)
    }
  }

  /// Wire to container, as flows by turns.
  @Test func decapsulatesLiveFrames() throws {
    let namespace = try NetworkNamespace.makeAnonymous()
    try namespace.run {
      try Self.topology()
      let fixture = try Fixture(.xdp)
      let bench = try Self.load(culvert_bpf_bench())
      let generator: BPFMap<UInt32, culvert_generator> = try bench.map("generator")
      let template: BPFMap<UInt32, culvert_template> = try bench.map("template")
      let sunk: BPFMap<UInt32, culvert_sunk> = try bench.map("sunk")
      try fixture.generation.update(0, 1)
      try fixture.setPort(1, ifindex: try Self.index("va"))
      try fixture.devices.update(1, try Self.index("va"))
      let uplink = try XDPLink(
        attaching: fixture.uplink, to: try Self.index("na"), interface: "na", mode: .native)
      let sink = try XDPLink(
        attaching: try bench.program("culvert_sink"), to: try Self.index("eth0"), interface: "eth0",
        mode: .native)
      let inner = Frames.v4(from: Frames.b1, to: Frames.a1)
      let frame = Outer().around(inner)
      var flows = Self.template(frame)
      flows.flows = 16
      flows.flow_offset = 50 + 34
      flows.flow_first = 5000
      try template.update(0, flows)
      try generator.update(
        0,
        culvert_generator(
          rate: 200_000, stop_ns: Clock.monotonicNanoseconds + 400_000_000, last_ns: 0, tokens: 0, sent: 0,
          sequence_offset: 0, stamp_offset: 0))
      try CPU.pin(to: 0)
      try bench.program("culvert_generate").runLiveFrames(
        frame, ingress: try Self.index("nb"), repetitions: 2_000_000)
      let sent = try #require(try generator.lookup(0)).sent
      #expect(sent > 10_000)
      #expect(try fixture.totals().packets[0][Int(CULVERT_FORWARDED_DECAP.rawValue)] == sent)
      let arrived = try Sunk(sunk)
      #expect(arrived.packets == sent)
      #expect(arrived.bytes == sent * UInt64(inner.count))
      let attached = uplink.isAttached && sink.isAttached
      #expect(attached)
    }
  }

  /// What the kernel refuses to transmit shows in `xmit_drops`, for the device that it was about.
  @Test func countsWhatDidNotLeave() throws {
    let namespace = try NetworkNamespace.makeAnonymous()
    try namespace.run {
      try Self.topology(gro: false)
      let fixture = try Fixture(.xdp)
      let drops = try Self.load(culvert_bpf_drops())
      let map: BPFMap<culvert_device_key, culvert_xmit_drops> = try drops.map("xmit_drops")
      let na = try Self.index("na")
      let inode = UInt32(try NetworkNamespace.current().identity.inode)
      func key(_ ifindex: UInt32) -> culvert_device_key { culvert_device_key(ifindex: ifindex, netns: inode) }
      for ifindex in [na, Fixture.lo, CULVERT_EGRESS] {
        try map.updatePerCPU(key(ifindex), culvert_xmit_drops())
      }
      let xmit = try TracepointLink(attaching: try drops.program("culvert_xmit"))
      let redirect = try TracepointLink(attaching: try drops.program("culvert_redirect"))
      func total(_ ifindex: UInt32) throws -> (notSent: UInt64, notRedirected: UInt64) {
        let cpus = try #require(try map.perCPU(key(ifindex)))
        return (cpus.reduce(0) { $0 + $1.not_sent }, cpus.reduce(0) { $0 + $1.not_redirected })
      }
      // The far end of na has no NAPI: veth takes nothing.
      try fixture.setPort(0, ifindex: na, mtu: 1500, mac: Outer.uplink)
      try fixture.devices.update(0, na)
      try fixture.port.runLiveFrames(Frames.v4(), ingress: Fixture.lo, repetitions: 100)
      let refused = try total(na)
      let came = try total(Fixture.lo)
      #expect(refused.notSent + came.notRedirected == 100)
      // lo has no way to transmit frames at all.
      try fixture.devices.update(0, Fixture.lo)
      try fixture.port.runLiveFrames(Frames.v4(), ingress: Fixture.lo, repetitions: 100)
      #expect(try total(Fixture.lo).notRedirected == came.notRedirected + 100)
      // By the place of the way out, too: 0 of `devices`.
      #expect(try total(CULVERT_EGRESS).notSent == came.notRedirected + 100)
      #expect(try total(na).notSent == refused.notSent)
      // A far end that is down: its device still seems to take frames.
      try shell("ethtool", "-K", "nb", "gro", "on")
      try shell("ip", "link", "set", "nb", "down")
      try fixture.devices.update(0, na)
      try fixture.port.runLiveFrames(Frames.v4(), ingress: Fixture.lo, repetitions: 100)
      #expect(try total(na).notSent == refused.notSent + 100)
      let notTaken = try #require(try map.perCPU(key(na))).reduce(0) { $0 + $1.not_taken }
      #expect(notTaken == refused.notSent + 100)
      let held = xmit.descriptor.raw >= 0 && redirect.descriptor.raw >= 0
      #expect(held)
    }
  }

  /// Only what the filter names is taken.
  @Test func sinkFilters() throws {
    let embedded = culvert_bpf_bench()
    var object = try BPFObject(name: "culvert_bench", data: embedded.data, size: embedded.size)
    try object.set(
      "filter",
      to: culvert_sink_filter(
        ethertype: EthernetHeader.ipv4.bigEndian, port: UInt16(9).bigEndian, stamp_offset: 0, zero: 0))
    try object.load()
    let sunk: BPFMap<UInt32, culvert_sunk> = try object.map("sunk")
    let sink = try object.program("culvert_sink")
    for other in [
      Frames.v6(), Frames.v4(Frames.udp(to: 10)), Frames.v4(Frames.tcp()), Array(Frames.v4().prefix(30)),
    ] {
      let result = try sink.testRun(other)
      #expect(result.action == .pass)
      #expect(result.data == other)
    }
    #expect(try Sunk(sunk).packets == 0)
    #expect(try sink.testRun(Frames.v4()).action == .drop)
    #expect(try Sunk(sunk).bytes == UInt64(Frames.v4().count))
  }

  /// The generator: template, flows and numbers into a frame that came back changed; nothing without a
  /// token, nothing after the end.
  @Test func generatorWrites() throws {
    let bench = try Self.load(culvert_bpf_bench())
    let generator: BPFMap<UInt32, culvert_generator> = try bench.map("generator")
    let template: BPFMap<UInt32, culvert_template> = try bench.map("template")
    let program = try bench.program("culvert_generate")
    let frame = Frames.v4(Frames.udp((0..<150).map { UInt8($0) }, from: 700))
    var flows = Self.template(frame)
    flows.flows = 3
    flows.flow_offset = 34
    flows.flow_first = 700
    try template.update(0, flows)
    let later = Clock.monotonicNanoseconds + 60_000_000_000
    func set(rate: UInt64, stop: UInt64, last: UInt64 = 0, tokens: UInt64 = 0) throws {
      try generator.update(
        0,
        culvert_generator(
          rate: rate, stop_ns: stop, last_ns: last, tokens: tokens, sent: 0, sequence_offset: 60,
          stamp_offset: 0))
    }
    try set(rate: 0, stop: later)
    var dirty = frame
    for offset in 0..<128 { dirty[offset] = 0xee }
    for number in 0..<7 {
      let result = try program.testRun(dirty)
      #expect(result.action == .transmit)
      var expected = frame
      let port = 700 + (number + 1) % 3
      expected[34] = UInt8(port >> 8)
      expected[35] = UInt8(port & 0xff)
      for offset in 60..<68 { expected[offset] = 0 }
      expected[60] = UInt8(number)
      #expect(result.data == expected)
    }
    try set(rate: 0, stop: Clock.monotonicNanoseconds - 1)
    #expect(try program.testRun(dirty).action == .drop)
    // One frame in a hundred seconds, the last one just now.
    try set(rate: 1, stop: later, last: Clock.monotonicNanoseconds)
    #expect(try program.testRun(dirty).action == .drop)
    // A bucket holds no more than 64, however much has come in.
    try set(rate: 1, stop: later, last: Clock.monotonicNanoseconds, tokens: 1_000 * 1_000_000_000)
    var sent = 0
    for _ in 0..<70 where try program.testRun(dirty).action == .transmit { sent += 1 }
    #expect(sent == 64)
  }

  private static let stampOffset = 42

  /// A stamp is the time, and changes no checksum over it.
  @Test func generatorStamps() throws {
    let bench = try Self.load(culvert_bpf_bench())
    let generator: BPFMap<UInt32, culvert_generator> = try bench.map("generator")
    let template: BPFMap<UInt32, culvert_template> = try bench.map("template")
    let program = try bench.program("culvert_generate")
    let frame = Frames.v4(Frames.udp([UInt8](repeating: 0, count: 40)))
    try template.update(0, Self.template(frame))
    var state = culvert_generator()
    state.stop_ns = .max
    state.stamp_offset = UInt64(Self.stampOffset)
    try generator.update(0, state)
    let before = Clock.monotonicNanoseconds
    let data = try program.testRun(frame).data
    let after = Clock.monotonicNanoseconds
    let (stamp, complement) = data.withUnsafeBytes {
      (
        $0.loadUnaligned(fromByteOffset: Self.stampOffset, as: UInt64.self),
        $0.loadUnaligned(fromByteOffset: Self.stampOffset + 8, as: UInt64.self)
      )
    }
    #expect(before <= stamp && stamp <= after)
    #expect(complement == ~stamp)
    func sum(_ octets: ArraySlice<UInt8>) -> Int {
      var sum = zip(octets.indices, octets).reduce(0) { $0 + Int($1.1) << ($1.0 % 2 == 0 ? 8 : 0) }
      while sum > 0xffff { sum = sum & 0xffff + sum >> 16 }
      return sum
    }
    #expect(data != frame)
    #expect(sum(data[34...]) == sum(frame[34...]))
  }

  /// A delay is counted where it belongs, to one part in 64; a frame without a whole stamp in none.
  @Test(arguments: [200_000, 3_000_000, 77_000_000, 1_500_000_000] as [UInt64])
  func sinkCountsDelays(delay: UInt64) throws {
    let embedded = culvert_bpf_bench()
    var object = try BPFObject(name: "culvert_bench", data: embedded.data, size: embedded.size)
    try object.set(
      "filter",
      to: culvert_sink_filter(ethertype: 0, port: 0, stamp_offset: UInt16(Self.stampOffset), zero: 0))
    try object.load()
    let delays: BPFMap<UInt32, UInt64> = try object.map("delays")
    let sink = try object.program("culvert_sink")
    func counted() throws -> [UInt32] {
      try (0..<UInt32(CULVERT_DELAY_BUCKETS)).filter { try delays.perCPU($0)!.reduce(0, +) > 0 }
    }
    var frame = Frames.v4(Frames.udp([UInt8](repeating: 0, count: 40)))
    #expect(try sink.testRun(frame).action == .drop)
    #expect(try counted().isEmpty)
    let stamp = Clock.monotonicNanoseconds - delay
    frame.withUnsafeMutableBytes {
      $0.storeBytes(of: stamp, toByteOffset: Self.stampOffset, as: UInt64.self)
      $0.storeBytes(of: ~stamp, toByteOffset: Self.stampOffset + 8, as: UInt64.self)
    }
    #expect(try sink.testRun(frame).action == .drop)
    let most = Clock.monotonicNanoseconds - stamp
    let bucket = try #require(try counted().first)
    #expect(try counted().count == 1)
    let shift = max(0, Int(bucket) / 64 - 1)
    let from = UInt64(Int(bucket) - shift * 64) << shift
    #expect(from <= most && from + (1 << shift) > delay, "bucket \(bucket) from \(from)")
    #expect(shift == 0 || from >> shift >= 64)
  }

  /// Each number comes once before any comes again, and never beside its neighbour.
  @Test func generatorNumbersFrames() throws {
    let bench = try Self.load(culvert_bpf_bench())
    let generator: BPFMap<UInt32, culvert_generator> = try bench.map("generator")
    let template: BPFMap<UInt32, culvert_template> = try bench.map("template")
    let program = try bench.program("culvert_generate")
    var state = culvert_generator()
    state.stop_ns = .max
    try generator.update(0, state)
    let frame = Frames.v4()
    var numbers = Self.template(frame)
    numbers.numbers = 610
    numbers.number_offset = 8
    try template.update(0, numbers)
    var seen: [Int] = []
    for _ in 0..<610 {
      let result = try program.testRun(frame)
      #expect(Array(result.data[..<8]) == Array(frame[..<8]) && result.data[12...] == frame[12...])
      seen.append(result.data[8..<12].reduce(0) { $0 << 8 | Int($1) })
    }
    #expect(Set(seen) == Set(0..<610))
    #expect(zip(seen, seen.dropFirst()).allSatisfy { abs($0 - $1) > 16 })
  }

  /// Pairs of addresses take turns, each for so many frames.
  @Test func generatorTakesTurns() throws {
    let bench = try Self.load(culvert_bpf_bench())
    let generator: BPFMap<UInt32, culvert_generator> = try bench.map("generator")
    let template: BPFMap<UInt32, culvert_template> = try bench.map("template")
    let ends: BPFMap<UInt32, culvert_ends> = try bench.map("ends")
    let program = try bench.program("culvert_generate")
    var state = culvert_generator()
    state.stop_ns = .max
    try generator.update(0, state)
    let frame = Frames.v4()
    var turns = Self.template(frame)
    turns.ends = 3
    turns.ends_offset = 0
    turns.run = 2
    try template.update(0, turns)
    for number in 0..<UInt8(3) {
      try ends.update(
        UInt32(number),
        culvert_ends(destination: (2, 0, 0, 0, 0, number), source: (2, 0, 0, 0, 1, number)))
    }
    var seen: [UInt8] = []
    for _ in 0..<12 {
      let result = try program.testRun(frame)
      #expect(result.action == .transmit)
      #expect(result.data[11] == result.data[5] && result.data[10] == 1)
      #expect(result.data[12...] == frame[12...])
      seen.append(result.data[5])
    }
    #expect(seen == [1, 1, 2, 2, 0, 0, 1, 1, 2, 2, 0, 0])
  }
}
