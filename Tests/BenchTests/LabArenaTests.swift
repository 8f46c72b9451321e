// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import FastPath
import Lab
import LinuxSystem
import Synchronization
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

  private let measures: [Measure] = [
    .packetRate(.encap), .packetRate(.decap), .udpRoundTrip, .tcpRoundTrip, .tcpConnectRoundTrip, .udpStream,
    .udpBatches, .tcpStream,
  ]

  private func arena() -> LabArena {
    LabArena(
      .init(duration: 0.1, warmUp: 0.02, asShipped: false, searchSteps: 3, searchDuration: 0.05),
      drivers: (Tier.allCases + [nil]).map { .fastPath($0, bypassPolicy: false) } + [.redirect, .testpmd])
  }

  private func cell(_ measure: Measure, offloads: Offloads = .on) -> Cell {
    Cell(
      measure: measure, size: measure.defaultSizes[0], offloads: offloads,
      placement: measure.isLiveFrames || CPU.count < 2 ? .oneCore : .twoCore)
  }

  static let tiers = Tier.allCases.map(\.rawValue) + [Network.automatic]
  static let networks = Network.all(tiers: tiers)
    .compactMap { try? Network($0, tiers: tiers) }

  static let bases: [String] = networks.reduce(into: []) { bases, network in
    if !bases.contains(network.base) { bases.append(network.base) }
  }

  /// Those of one base on one lab, as `ab` has them.
  @Test(arguments: bases)
  func everyNetworkPassesTheGateAndCarriesEveryWorkload(base: String) throws {
    let arena = arena()
    defer { try? arena.close() }
    for network in Self.networks where network.base == base { try expectWorkloads(of: network, on: arena) }
  }

  private func expectWorkloads(of network: Network, on arena: LabArena) throws {
    guard network.base != "none" else {
      for measure in measures { #expect(arena.reasonToSkip(network, cell(measure)) != nil) }
      return
    }
    if network.tier != nil, network.lab != .vxlan, let reason = arena.reasonToSkip(network, cell(.udpStream))
    {
      #expect(reason.contains("serve"), "\(reason)")
      #expect(network.hasServices && network.tier == "afxdp", "\(network): \(reason)")
      return
    }
    let gate = try arena.gate(network, cell(.udpStream))
    #expect(gate.passed, "\(network): \(gate.summary)")
    let isPacketRate = ["bare", "bridge", "vxlan", Network.asShipped, "flannel", "calico"].contains(
      network.base)
    // What is chosen by itself is one of the tiers that have carried all of them.
    let measures = network.tier == Network.automatic ? [.packetRate(.encap), .udpRoundTrip, .udpStream] : measures
    for measure in measures {
      let cell = cell(measure, offloads: measure.defaultOffloads[0])
      let reason = arena.reasonToSkip(network, cell)
      let isRules = network.tier != nil && network.hasServices && measure == .tcpConnectRoundTrip
      #expect((reason == nil) == (!isRules && (isPacketRate || !measure.isLiveFrames)), "\(network), \(measure): \(reason ?? "-")")
      // Without offloads their checksums are complete and their payload in fragments: tc leaves the outer one to the kernel.
      let isChecksums = network.tier != nil && network.hasServices && measure == .udpBatches
      guard reason == nil, !isChecksums else { continue }
      let sample = try arena.trial(network, cell)
      #expect(sample.value > 0, "\(network), \(measure)")
      #expect((sample.tierShare != nil) == (network.tier != nil), "\(network), \(measure)")
      #expect(
        (sample.histogram != nil) == [.udpRoundTrip, .tcpRoundTrip, .tcpConnectRoundTrip].contains(measure),
        "\(network), \(measure)")
    }
    #expect(arena.tier(of: network)?.requested == network.tier, "\(network)")
    let obtained = arena.tier(of: network)?.obtained
    if network == Self.tiered { #expect(obtained == "xdp native") }
    if network.tier == Network.automatic { #expect(obtained?.isEmpty == false && obtained != "auto") }
  }

  /// By destination NAT on the client's host; elsewhere nobody has such an address.
  @Test(arguments: ["flannel", "calico"])
  func aServiceIsALoadOfItsOwn(base: String) throws {
    let arena = arena()
    defer { try? arena.close() }
    let network = Network(base: base)
    for load in ServiceLoad.allCases {
      let cell = cell(.toService(load))
      #expect(arena.reasonToSkip(Self.vxlan, cell) != nil)
      #expect(arena.reasonToSkip(network, cell) == nil)
      let gate = try arena.gate(network, cell)
      #expect(gate.passed, "\(gate.summary)")
      #expect(try arena.trial(network, cell).value > 0, "\(load)")
    }
  }

  @Test func liveFramesAreCountedToTheFrame() throws {
    let stage = try Stage(LabSpec(.vxlan))
    try stage.receiveLiveFrames(true)
    let ends = stage.ends(Self.vxlan)
    try Gate(mtu: 1450).prime(
      Path(client: stage.station(ends.client), server: stage.station(ends.server), port: 7))
    for direction in PacketDirection.allCases {
      let report = try stage.load(Self.vxlan, direction, size: 64).run(
        rate: 5000, timing: LoadTiming(warmUp: 0.02, duration: 0.1))
      #expect(report.sent > 0)
      #expect(report.sunk == report.sent, "\(direction)")
    }
  }

  @Test(arguments: PacketDirection.allCases) func aRelayBringsFramesAcross(direction: PacketDirection) throws
  {
    let arena = arena()
    defer { try? arena.close() }
    #expect(arena.reasonToSkip(.redirect, cell(.udpStream)) != nil)
    for relay in Network.relays where arena.reasonToSkip(relay, cell(.packetRate(direction))) == nil {
      let sample = try arena.trial(relay, cell(.packetRate(direction)))
      #expect(sample.value > 0, "\(relay)")
      #expect(sample.tierShare == nil)
    }
    // And it is gone when another's turn comes.
    #expect(try arena.trial(Self.vxlan, cell(.packetRate(direction))).value > 0)
  }

  /// Every container's frames, whichever it is: a tier that starves some of them carries too few.
  @Test func sixtyFourContainersTakeTurns() throws {
    // One for all: its lab takes longest.
    let arena = arena()
    defer { try? arena.close() }
    for tier in Tier.allCases {
      for direction in PacketDirection.allCases {
        let cell = cell(.frames(.rateByTurns(containers: 64, run: 1), direction))
        #expect(arena.reasonToSkip(Self.bare, cell) != nil)
        let sample = try arena.trial(Network(base: "vxlan", tier: tier.rawValue), cell)
        #expect(sample.value > 0, "\(tier), \(direction)")
        #expect(try #require(sample.tierShare) >= TierCount.leastShare, "\(tier), \(direction)")
      }
    }
  }

  /// Of many entries too, and of each of them: a frame to an address that is not in the table is the kernel's.
  @Test(arguments: Tier.allCases, PacketDirection.allCases)
  func framesGoAmongManyEntries(tier: Tier, direction: PacketDirection) throws {
    let arena = arena()
    defer { try? arena.close() }
    let cell = cell(.frames(.rateAmong(entries: 20_000), direction))
    #expect(arena.reasonToSkip(Self.vxlan, cell) != nil)
    #expect(arena.reasonToSkip(.redirect, cell) != nil)
    let network = Network(base: "vxlan", tier: tier.rawValue)
    for _ in 0..<2 {
      let sample = try arena.trial(network, cell)
      #expect(sample.value > 0)
      #expect(try #require(sample.tierShare) >= 0.999)
    }
  }

  @Test func delaysAreMeasuredAtPartsOfTheLossFreeRate() throws {
    let arena = arena()
    defer { try? arena.close() }
    let delay = cell(.frames(.delay(percent: 50), .encap))
    #expect(throws: Failure.self) { try arena.trial(Self.tiered, delay) }
    // A rate that this machine loses none of may be none in so short a search: then that is the answer again.
    guard try arena.trial(Self.tiered, cell(.noDropRate(.encap))).value > 0 else { return }
    let sample = try arena.trial(Self.tiered, delay)
    let latency = try #require(sample.latency)
    #expect(sample.value == latency["p50"])
    #expect(latency["p50"]! <= latency["p99"]!)
    #expect(try #require(sample.histogram).count > 0)
  }

  /// Counts as it is told to, at each question.
  private final class Scripted: TierAttachment {
    let obtained = "nothing"
    private let counts: Mutex<[TierCount]>
    init(_ counts: [TierCount]) { self.counts = Mutex(counts) }
    func count() throws -> TierCount? { counts.withLock { $0.count > 1 ? $0.removeFirst() : $0[0] } }
    func detach() throws {}
  }

  private func share(_ counts: TierCount...) throws -> Double? {
    let arena = LabArena(
      .init(duration: 0.05, warmUp: 0.01, asShipped: false),
      drivers: [TierDriver(name: "scripted") { _, _, _ in Scripted(counts) }])
    #expect(arena.reasonToSkip(Network(base: "vxlan", tier: "other"), cell(.udpStream)) != nil)
    return try arena.trial(Network(base: "vxlan", tier: "scripted"), cell(.udpStream)).tierShare
  }

  @Test func aTierThatCarriesNothingIsNoResult() throws {
    #expect(throws: Failure.self) { try share(TierCount(carried: 7)) }
  }

  @Test func aTierThatLeavesTooMuchToTheKernelIsNoResultAndSaysWhy() throws {
    let before = TierCount(carried: 1000, passed: ["refresh": 5])
    #expect(try share(before, TierCount(carried: 1095, passed: ["refresh": 10])) == 0.95)
    let failure = #expect(throws: Failure.self) {
      try share(before, TierCount(carried: 1085, passed: ["refresh": 6, "checksum": 14]))
    }
    #expect(failure?.description.contains("hostA") == true || failure?.description.contains("hostB") == true)
    #expect(failure?.description.contains("85 %") == true)
    #expect(failure?.description.contains("checksum 14, refresh 1") == true)
  }

  /// A tier on one end: the other is a plain kernel, whose GRO tells what it got.
  @Test(arguments: [Ends.sender, .receiver]) func aTierOnOneEndCarriesAgainstAPlainKernel(ends: Ends) throws {
    let arena = arena()
    defer { try? arena.close() }
    for tier in Tier.allCases {
      let network = Network(base: "vxlan", tier: tier.rawValue)
      var cell = cell(.tcpStream, offloads: .off)
      cell.ends = ends
      let gate = try arena.gate(network, cell)
      #expect(gate.passed && gate.hosts == (ends == .sender ? "hostA" : "hostB"), "\(gate)")
      let sample = try arena.trial(network, cell)
      #expect(try #require(sample.tierShare) >= TierCount.leastShare)
      #expect(try #require(sample.segments) > 0)
      #expect((sample.skbBytes != nil) == (ends == .sender))
      if let bytes = sample.skbBytes { #expect((60...65_536).contains(bytes), "\(bytes)") }
    }
  }

  /// What goes to the container's own host is not the overlay's: a tier that carries none of it is a result.
  @Test func aContainerReachesItsOwnHost() throws {
    let arena = arena()
    defer { try? arena.close() }
    let cell = cell(.tcpStreamToHost)
    for network in [Self.vxlan, Network(base: "bridge"), Self.tiered, Network(base: "vxlan", tier: "auto")] {
      #expect(arena.reasonToSkip(network, cell) == nil)
      #expect(try arena.gate(network, cell).passed)
      #expect(try arena.trial(network, cell).value > 0)
    }
    #expect(arena.reasonToSkip(Self.bare, cell) != nil)
  }

  @Test func theOuterChecksumIsTheCells() throws {
    let arena = arena()
    defer { try? arena.close() }
    for checksum in [nil, false, true] {
      var cell = cell(.packetRate(.decap))
      cell.outerChecksum = checksum
      let spec = arena.arrangement(Self.vxlan, cell).spec
      #expect(spec.udpChecksum == (checksum ?? false))
      #expect(!spec.bridgeNetfilter)
      #expect(try arena.trial(Self.vxlan, cell).value > 0)
    }
  }

  @Test func severalFlowsAreSeveralPorts() throws {
    let arena = arena()
    defer { try? arena.close() }
    for measure in [Measure.udpStream, .tcpStream] {
      var cell = cell(measure)
      cell.flows = 3
      #expect(try arena.trial(Self.vxlan, cell).value > 0)
    }
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
