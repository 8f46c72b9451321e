// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import Testing

@testable import Bench

struct PlanTests {
  @Test func quickCoversTheRequiredRows() throws {
    var request = Plan.Request()
    request.quick = true
    let tiers = ["xdp", "afxdp", "tc", "auto"]
    let plan = try Plan(request, tiers: tiers)
    #expect(
      plan.cells.map(\.description) == [
        "packet-rate:encap 64 offloads on one-core packets_per_second",
        "packet-rate:decap 64 offloads on one-core packets_per_second",
        "udp-rr 64 offloads on one-core round_trip_p50_us",
        "udp-rr 64 offloads on two-core round_trip_p50_us",
        "udp-stream 64 offloads on two-core packets_per_second",
        "udp-stream 1400 offloads on two-core packets_per_second",
        "udp-stream:batches 64 offloads off two-core packets_per_second",
        "tcp-stream 65536 offloads on two-core bytes_per_second",
        "tcp-stream 65536 offloads off two-core bytes_per_second",
        "tcp-stream 1400 offloads on two-core bytes_per_second",
        "tcp-stream 1400 offloads off two-core bytes_per_second",
        "tcp-stream 65536 offloads off two-core tier on the sender bytes_per_second",
        "tcp-stream 65536 offloads off two-core tier on the receiver bytes_per_second",
        "tcp-stream 65536 offloads on two-core outer checksum on bytes_per_second",
        "tcp-stream:host 65536 offloads on two-core bytes_per_second",
      ])
    #expect(plan.networks.map(\.description) == ["vxlan", "bare"] + tiers.map { "vxlan+\($0)" })
    #expect(plan.repeats >= RatioEstimate.pairsForVerdict)
    #expect(!plan.measuresCost && plan.leftOut.count == 2)
    #expect(Estimate(plan).seconds < 270)
    // Against a plain kernel tc and xdp, in every other row what auto is.
    for cell in plan.cells {
      let taking = plan.networks(of: cell).map(\.description)
      #expect(taking.first == "vxlan")
      #expect(taking.contains("vxlan+tc"))
      #expect(taking.contains("vxlan+xdp") || cell.isSmallWrites || cell.outerChecksum != nil)
      #expect(taking.contains("vxlan+auto") == (cell.ends == .both))
      #expect(cell.ends == .both || taking.count == 3)
    }
    // What is asked for by name is not searched either.
    request.workloads = ["packet-rate"]
    #expect(
      try Plan(request, tiers: ["xdp"]).cells.map(\.measure) == [.packetRate(.encap), .packetRate(.decap)])
  }

  @Test func theWholePlanLeavesNothingOut() throws {
    let plan = try Plan(Plan.Request(), tiers: ["xdp"])
    #expect(plan.measuresCost && plan.leftOut.isEmpty)
    let services = Set(ServiceLoad.allCases.map { Measure.toService($0).workload })
    #expect(Set(plan.cells.map(\.measure.workload)) == Set(Measure.workloads).subtracting(services))
    #expect(plan.cells.contains { $0.measure.isSearch })
    var request = Plan.Request()
    request.networks = ["all"]
    let all = try Plan(request, tiers: ["xdp", "tc"])
    #expect(Set(all.networks.map(\.description)) == Set(Network.all(tiers: ["xdp", "tc"])))
    #expect(
      Set(all.networks.map(\.description)).isSuperset(
        of: ["nat", "bridge", "bridge+tc", "vxlan@as-shipped", "flannel+tc", "calico+xdp"]))
    #expect(Set(all.cells.map(\.measure.workload)) == Set(Measure.workloads))
    #expect(Estimate(all).seconds > 2 * Estimate(plan).seconds)
    #expect(Estimate(plan, isHeld: { _ in true }).trials == 0)
  }

  @Test func workloadsNamedTwiceAreMeasuredOnce() throws {
    var request = Plan.Request()
    request.workloads = ["packet-rate", "packet-rate:encap"]
    #expect(try Plan(request, tiers: ["xdp"]).cells.count == 4)
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
    #expect(status { ($0.workloads, $0.sizes) = (["packet-rate"], [16]) } == .usage)
    #expect(status { $0.sizes = [64, 1400] } == nil)
    #expect(status { $0.repeats = 0 } == .usage)
    #expect(status { $0.flows = [0] } == .usage)
    #expect(status { $0.flows = [9] } == .usage)
    #expect(status { $0.flows = [] } == .usage)
    #expect(status { $0.duration = -1 } == .usage)
  }

  @Test func sizesGoToTheWorkloadsThatTakeThemAndTheRestIsSaid() throws {
    var request = Plan.Request()
    request.sizes = [16, 64, 65507]
    let plan = try Plan(request, tiers: ["xdp"])
    #expect(Set(plan.cells.filter { $0.measure == .packetRate(.encap) }.map(\.size)) == [64])
    #expect(Set(plan.cells.filter { $0.measure == .tcpRoundTrip }.map(\.size)) == [16, 64, 65507])
    #expect(plan.notes.count == 3, "packet-rate, each way, and batches")
    #expect(plan.notes.first?.contains("16, 65507") == true)
  }

  @Test func aTierOnOneEndIsForWhatHasTwo() throws {
    var request = Plan.Request()
    request.ends = [.sender, .receiver]
    request.workloads = ["tcp-stream", "udp-rr"]
    let plan = try Plan(request, tiers: ["xdp", "auto"])
    #expect(Set(plan.cells.map(\.ends)) == [.sender, .receiver])
    #expect(Set(plan.cells).count == plan.cells.count)
    // Without a tier there is nothing to put on one end.
    for cell in plan.cells {
      #expect(plan.networks(of: cell).map(\.description) == ["vxlan", "vxlan+xdp", "vxlan+auto"])
    }
    for workload in ["packet-rate", "tcp-stream:host"] {
      request.workloads = [workload]
      #expect(throws: Failure.self) { try Plan(request, tiers: ["xdp"]) }
    }
    request.workloads = ["packet-rate", "tcp-rr"]
    let mixed = try Plan(request, tiers: ["xdp"])
    for cell in mixed.cells { #expect((cell.ends == .both) == cell.measure.isLiveFrames) }
  }

  /// What was asked for by name is measured, whatever a quick comparison would choose.
  @Test func askedNetworksTakePartInEveryRow() throws {
    var request = Plan.Request()
    request.quick = true
    request.networks = ["bare", "vxlan+afxdp"]
    let plan = try Plan(request, tiers: ["xdp", "afxdp", "tc", "auto"])
    for cell in plan.cells {
      #expect(plan.networks(of: cell).count == (cell.ends == .both ? 3 : 2), "\(cell)")
    }
    request.outerChecksum = true
    request.ends = [.both]
    let fewer = try Plan(request, tiers: ["xdp", "afxdp", "tc", "auto"])
    #expect(fewer.cells.allSatisfy { $0.ends == .both && $0.outerChecksum == nil })
    #expect(fewer.cells.count == plan.cells.count - 3)
  }

  @Test func flowsMultiplyStreamsOnly() throws {
    var request = Plan.Request()
    request.flows = [1, 4]
    let cells = try Plan(request, tiers: ["xdp"]).cells
    for cell in cells where !cell.measure.takesFlows { #expect(cell.flows == 1) }
    let streams = cells.filter(\.measure.takesFlows)
    #expect(streams.count { $0.flows == 4 } == streams.count { $0.flows == 1 })
    #expect(Set(cells).count == cells.count)
    #expect(streams.contains { $0.description.contains("× 4 flows") })
  }
}
