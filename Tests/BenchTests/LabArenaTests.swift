// SPDX-License-Identifier: Apache-2.0
import FastPath
import Lab
import LinuxSystem
import TestSupport
import Testing
import Traffic

@testable import Bench

/// Real trials, as short as they can be: what is delivered, not how fast.
@Suite(.serialized, .enabled(if: mayUseKernel, "\(needsRoot)"))
struct LabArenaTests {
  static let vxlan = Network(base: "vxlan")
  static let tiered = Network(base: "vxlan", tier: "xdp")
  static let bare = Network(base: "bare")

  private func arena() -> LabArena {
    LabArena(
      .init(duration: 0.1, warmUp: 0.02, asShipped: false, searchSteps: 3, searchDuration: 0.05),
      drivers: [.fastPath(.xdp, bypassPolicy: false)])
  }

  private func cell(_ measure: Measure, offloads: Offloads = .on) -> Cell {
    Cell(
      measure: measure, size: measure.defaultSizes[0], offloads: offloads,
      placement: measure.isLiveFrames || CPU.count < 2 ? .oneCore : .twoCore)
  }

  @Test(arguments: [vxlan, tiered, bare])
  func everyNetworkPassesTheGateAndCarriesEveryWorkload(network: Network) throws {
    let arena = arena()
    defer { try? arena.close() }
    let gate = try arena.gate(network, cell(.udpStream))
    #expect(gate.passed, "\(gate.summary)")
    let measures: [Measure] = [
      .packetRate(.encap), .packetRate(.decap), .udpRoundTrip, .udpStream, .tcpStream,
    ]
    for measure in measures {
      let sample = try arena.trial(network, cell(measure))
      #expect(sample.value > 0, "\(measure)")
    }
    #expect((arena.tier(of: network)?.obtained == "xdp native") == (network == Self.tiered))
  }

  @Test func liveFramesAreCountedToTheFrame() throws {
    let stage = try Stage(LabSpec(.vxlan))
    try stage.receiveLiveFrames(true)
    try Gate(mtu: 1450).prime(Path(client: stage.station(stage.a1), server: stage.station(stage.b1), port: 7))
    for direction in PacketDirection.allCases {
      let report = try stage.load(Self.vxlan, direction, size: 64).run(
        rate: 5000, timing: LoadTiming(warmUp: 0.02, duration: 0.1))
      #expect(report.sent > 0)
      #expect(report.sunk == report.sent, "\(direction)")
    }
  }

  @Test func aTierThatCarriesNothingIsNoResult() throws {
    final class Idle: TierAttachment {
      let obtained = "nothing"
      func forwarded() throws -> UInt64 { 7 }
      func detach() throws {}
    }
    let arena = LabArena(
      .init(duration: 0.05, warmUp: 0.01, asShipped: false),
      drivers: [TierDriver(name: "idle") { _ in Idle() }])
    #expect(throws: Failure.self) {
      try arena.trial(Network(base: "vxlan", tier: "idle"), cell(.udpStream))
    }
    #expect(arena.reasonToSkip(Network(base: "vxlan", tier: "other"), cell(.udpStream)) != nil)
  }

  @Test func theMeterSeesWork() throws {
    let meter = try CPUMeter()
    let idle = meter.read()
    let worker = try DedicatedThread {
      let end = Clock.monotonicNanoseconds + 200_000_000
      while Clock.monotonicNanoseconds < end {}
    }
    worker.join()
    let busy = meter.busy(from: idle, to: meter.read())
    meter.finish()
    // One thread that never sleeps takes one CPU, and so does whatever keeps it from running; what the
    // machine took while it was calibrated is added back.
    #expect(busy + meter.idleShare > 0.5)
  }
}

struct PlanTests {
  @Test func quickCoversTheRequiredRows() throws {
    var request = Plan.Request()
    request.quick = true
    let plan = try Plan(request, tiers: ["xdp"])
    let rows = plan.cells.map(\.description)
    for row in [
      "packet-rate:encap 64 offloads on one-core packets_per_second",
      "packet-rate:encap 64 offloads on one-core ndr_packets_per_second",
      "packet-rate:decap 64 offloads on one-core packets_per_second",
      "tcp-stream 65536 offloads off two-core bytes_per_second",
      "udp-stream 64 offloads on two-core packets_per_second",
      "udp-rr 64 offloads on one-core round_trip_p50_us",
    ] {
      #expect(rows.contains(row), "\(row)")
    }
    #expect(plan.networks.map(\.description) == ["vxlan", "bare", "vxlan+xdp"])
  }

  @Test func whatCannotBeMeasuredIsAUsageError() {
    func status(_ change: (inout Plan.Request) -> Void) -> LinuxSystem.ExitStatus? {
      var request = Plan.Request()
      change(&request)
      do {
        _ = try Plan(request, tiers: ["xdp"])
        return nil
      } catch {
        return error.status
      }
    }
    #expect(status { _ in } == nil)
    #expect(status { $0.networks = ["token-ring"] } == .usage)
    #expect(status { $0.networks = ["vxlan+warp"] } == .usage)
    #expect(status { $0.networks = ["vxlan"] } == .usage)
    #expect(status { $0.workloads = ["smtp"] } == .usage)
    #expect(status { $0.sizes = [4] } == .usage)
    #expect(status { $0.repeats = 0 } == .usage)
    #expect(status { $0.duration = -1 } == .usage)
  }
}
