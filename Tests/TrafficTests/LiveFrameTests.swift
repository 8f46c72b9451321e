// SPDX-License-Identifier: Apache-2.0
import CBPFObjects
import LinuxSystem
import PacketHeaders
import TestSupport
import Testing

@testable import Traffic

@Suite(.serialized, .enabled(if: mayUseKernel, "\(needsRoot)"))
struct LiveFrameTests {
  private func load(_ wire: Wire, size: Int = 64) -> PacketRate {
    PacketRate(
      source: wire.near, sourceInterface: "eth0", sink: wire.far, sinkInterface: "eth0", port: 9,
      frame: .udp(
        from: FlowEnd(mac: wire.nearMAC, ipv4: wire.near.ipv4, port: 1234),
        to: FlowEnd(mac: wire.farMAC, ipv4: wire.far.ipv4, port: 9), size: size))
  }

  @Test(arguments: [64, 1514])
  func everyFrameSentIsCounted(size: Int) throws {
    let wire = try Wire()
    let report = try load(wire, size: size).run(
      rate: 20_000, timing: LoadTiming(warmUp: 0.02, duration: 0.1))
    #expect(report.sent > 0)
    #expect(report.sunk == report.sent)
    #expect(report.sent <= 20_000, "paced: a tenth of a second and what surrounds it")
    #expect(report.packetsPerSecond > 0)
  }

  @Test func framesThatNobodyTakesAreLost() throws {
    let wire = try Wire()
    var load = load(wire)
    load.port = 10
    let report = try load.run(rate: 1000, timing: LoadTiming(warmUp: 0, duration: 0.05))
    #expect(report.sent > 0)
    #expect(report.sunk == 0)
    #expect(report.lostFraction == 1)
  }

  @Test func everyFrameOfTheWindowTellsItsDelay() throws {
    let wire = try Wire()
    let load = load(wire)
    let timing = LoadTiming(warmUp: 0.02, duration: 0.1)
    let report = try load.run(rate: 20_000, timing: timing, measuresDelay: true)
    let delay = try #require(report.delay)
    #expect(delay.count > 0 && delay.count <= report.sunk)
    #expect(delay.microseconds(50) > 0)
    #expect(delay.microseconds(50) <= delay.microseconds(99))
    #expect(try load.run(rate: 20_000, timing: timing).delay == nil)
  }

  @Test func nothingStaysAttached() throws {
    let wire = try Wire()
    _ = try load(wire).run(rate: 1000, timing: LoadTiming(warmUp: 0, duration: 0.02))
    let links = try wire.far.namespace.value.run { try shell("ip", "link", "show", "eth0") }
    #expect(!links.contains("xdp"))
  }
}

struct DelayCountsTests {
  /// Each bucket stands for what is in it, and they follow one another without a gap.
  @Test func bucketsAreAsWideAsTheirPrecision() {
    var end: UInt64 = 0
    for bucket in 0..<Int(CULVERT_DELAY_BUCKETS) {
      let shift = max(0, bucket / 64 - 1)
      let start = UInt64(bucket - shift * 64) << shift
      #expect(start == end)
      end = start + 1 << shift
      let middle = DelayCounts.nanoseconds(bucket)
      #expect(middle >= start && middle < end)
    }
    #expect(end == 1 << 32)
  }

  @Test func aWindowIsWhatCameAfterItsBeginning() {
    var before = DelayCounts()
    before[10] = 5
    var after = before
    after[10] = 7
    after[200] = 1
    let histogram = after.histogram(since: before)
    #expect(histogram.count == 3)
    #expect(histogram.microseconds(50) == 0.01)
    #expect(histogram.maxMicroseconds > 0.2)
  }
}

struct BisectionTests {
  @Test func findsTheThresholdFromBelow() {
    let found = Bisection(ceiling: 100, steps: 12).search { $0 <= 63 ? $0 : nil }
    #expect((61...63).contains(found))
  }

  @Test func endsAfterItsSteps() {
    var steps = 0
    let found = Bisection(ceiling: 100, steps: 5).search { _ in
      steps += 1
      return nil
    }
    #expect(found == 0)
    // 40 is the most that can be offered: that much is what was shown to pass.
    #expect(Bisection(ceiling: 100, steps: 9).search { min($0, 40) } == 40)
    #expect(steps == 5)
    #expect(Bisection(ceiling: 100, steps: 5).search { $0 } == 100)
  }
}

struct FrameTemplateTests {
  let a = FlowEnd(mac: MACAddress("02:00:00:00:00:01")!, ipv4: IPv4Address("198.18.0.1")!, port: 1234)
  let b = FlowEnd(mac: MACAddress("02:00:00:00:00:02")!, ipv4: IPv4Address("198.18.0.2")!, port: 9)

  @Test func checksumsVerify() {
    let frame = FrameTemplate.udp(from: a, to: b, size: 64).octets
    #expect(frame.count == 64)
    #expect(FrameTemplate.checksum(Array(frame[14..<34])) == 0)
    let pseudo = Array(frame[26..<34]) + [0, 17] + Array(frame[38..<40])
    #expect(FrameTemplate.checksum(pseudo + frame[34...]) == 0)
  }

  @Test func vxlanWrapsTheWholeFrame() {
    let inner = FrameTemplate.udp(from: a, to: b, size: 64)
    let outer = FrameTemplate.vxlan(
      inner, vni: 42, from: FlowEnd(mac: a.mac, ipv4: a.ipv4, port: 50000),
      to: FlowEnd(mac: b.mac, ipv4: b.ipv4, port: 4789), withChecksum: false
    ).octets
    #expect(outer.count == 64 + 50)
    #expect(Array(outer[42..<50]) == [8, 0, 0, 0, 0, 0, 42, 0])
    #expect(Array(outer[40..<42]) == [0, 0])
    #expect(Array(outer[50...]) == inner.octets)
  }
}
