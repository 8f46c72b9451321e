// SPDX-License-Identifier: Apache-2.0
import DataPlane
import Glibc
import Lab
import LinuxSystem
import Traffic

/// Trials on labs: one per kind of lab and setting of the offloads, made when first needed, standing until the
/// end. Networks are toggled on them; `bare` and `host` are host to host over the overlay's wire.
public final class LabArena: Arena {
  public struct Settings: Sendable {
    /// Seconds.
    public var duration: Double
    public var warmUp: Double
    public var asShipped: Bool
    /// Of the VXLAN devices; nil: as tuned, or as shipped.
    public var outerChecksum: Bool?
    public var mtu: UInt32 = 1500
    /// Trials of the search for the loss-free rate, and what each lasts.
    public var searchSteps: Int
    public var searchDuration: Double

    public init(
      duration: Double, warmUp: Double, asShipped: Bool, searchSteps: Int = 7, searchDuration: Double = 0.12
    ) {
      self.duration = duration
      self.warmUp = warmUp
      self.asShipped = asShipped
      self.searchSteps = searchSteps
      self.searchDuration = searchDuration
    }

    public init(_ plan: Plan, asShipped: Bool) {
      self.init(
        duration: plan.duration, warmUp: plan.warmUp, asShipped: asShipped, searchSteps: plan.searchSteps,
        searchDuration: plan.searchDuration)
    }

    var timing: LoadTiming { LoadTiming(warmUp: warmUp, duration: duration) }
  }

  let settings: Settings
  private let drivers: [String: TierDriver]
  private var stages: [LabSpec: Stage] = [:]
  private var obtained: [Network: String] = [:]
  private var gates: [Arrangement: ABReport.Gate] = [:]
  /// Why a tier cannot serve a network here; nil: it does.
  private var refusals: [Arrangement: String?] = [:]
  private var nextPort = LabNames.publishedPorts.lowerBound
  /// Highest rate seen, where the search for the loss-free one starts.
  var ceilings: [Arrangement: Double] = [:]
  /// What the searches found, of which delays are measured at a part.
  var noDropRates: [Arrangement: [Double]] = [:]

  public init(_ settings: Settings, drivers: [TierDriver]) {
    self.settings = settings
    self.drivers = Dictionary(uniqueKeysWithValues: drivers.map { ($0.name, $0) })
  }

  /// What a network looks like in a cell.
  struct Arrangement: Hashable {
    var network: Network
    var spec: LabSpec
    /// The hosts that its tier is on, and the CPU of each one's workers.
    var workers: [LabHost: Int]
    /// In the tier's table beside what the network has.
    var entries = 0
    var size: Int?
    /// What talks is a container with its own host.
    var isToHost: Bool { spec.hostAddress }
    /// The server is asked by the address of its service.
    var isToService = false
    /// Both ends are on the first host.
    var isOnOneHost = false
    var isLaunch = false
    /// The CPU that takes what arrives at a host; without one it is received where it was sent.
    var steering: [LabHost: Int] = [:]
    var hostNames: String { workers.keys.map(\.rawValue).sorted().joined(separator: " ") }
  }

  func arrangement(_ network: Network, _ cell: Cell) -> Arrangement {
    let placement = cell.placement
    let workers: [LabHost: Int] =
      switch cell.measure.direction {
      case _ where network.driver == nil: [:]
      case .some where network.lab.isOfOneHost: [.a: Placement.liveFramesWorkerCPU]
      case .encap: [.a: Placement.liveFramesWorkerCPU]
      case .decap: [.b: Placement.liveFramesWorkerCPU]
      case _ where cell.measure.isNotTheOverlays || network.lab.isOfOneHost || cell.span == .oneHost:
        [.a: placement.clientCPU]
      // Each with its container.
      case nil:
        switch cell.ends {
        case .both: [.a: placement.clientCPU, .b: placement.serverCPU]
        case .sender: [.a: placement.clientCPU]
        case .receiver: [.b: placement.serverCPU]
        }
      }
    let isAsShipped = settings.asShipped || network.base == Network.asShipped
    let spec = LabSpec(
      network.lab, containers: cell.containers, mtu: settings.mtu, offloads: cell.offloads == .on,
      udpChecksum: cell.outerChecksum ?? settings.outerChecksum, asShipped: isAsShipped,
      hostAddress: cell.measure.isNotTheOverlays)
    return Arrangement(
      network: network, spec: spec, workers: workers, entries: cell.measure.entries,
      isToService: cell.measure.isToService, isOnOneHost: cell.span == .oneHost,
      isLaunch: cell.measure == .launch,
      steering: cell.measure.isSteered ? [.a: placement.clientCPU, .b: placement.serverCPU] : [:])
  }

  /// Takes off everything that is attached; the labs go with this value.
  public func close() throws {
    let all = stages.values
    stages = [:]
    for stage in all { try stage.detachAll() }
  }

  // MARK: - Arena

  public func reasonToSkip(_ network: Network, _ cell: Cell) -> String? {
    if cell.placement == .twoCore && CPU.count < 2 { return "needs two CPUs" }
    if let driver = network.driver, drivers[driver] == nil { return "no tier \(driver) in this version" }
    if let reason = network.reasonToSkip(cell) { return reason }
    if cell.measure.isLiveFrames, cell.measure.containers != nil, network.lab != .vxlan || network.isOfHosts || network.isRelay {
      return "one pair of ends is all it has"
    }
    if network == .testpmd, let reason = TestPMD.reasonToSkip() { return reason }
    do {
      let arrangement = arrangement(network, cell)
      _ = try stage(arrangement.spec)
      return network.tier == nil || network.lab == .vxlan ? nil : try refusal(arrangement)
    } catch {
      // Anything else fails again where it is reported as a failure.
      return error.status == .unavailable ? "\(error)" : nil
    }
  }

  /// Not every tier serves what is no bridged overlay: its own words for that. Asked once.
  private func refusal(_ given: Arrangement) throws(Failure) -> String? {
    var arrangement = given
    arrangement.isToService = false
    arrangement.workers = arrangement.workers.mapValues { _ in 0 }
    if let known = refusals[arrangement] { return known }
    do {
      _ = try prepare(arrangement, liveFrames: false)
      refusals[arrangement] = .some(nil)
      return nil
    } catch  where error.status == .unavailable {
      refusals[arrangement] = "\(error)"
      return "\(error)"
    }
  }

  public func tier(of network: Network) -> ABReport.Tier? {
    guard let requested = network.tier, let obtained = obtained[network] else { return nil }
    return ABReport.Tier(requested: requested, obtained: obtained)
  }

  public func distance() throws(Failure) -> Double? { try CPUDistance.measure() }

  public func gate(_ network: Network, _ cell: Cell) throws(Failure) -> ABReport.Gate {
    var arrangement = arrangement(network, cell)
    // Live frames put a tier on one host; what is to be right is the network, with the tier on both. Where its
    // workers run decides nothing.
    if network.tier != nil {
      arrangement.workers =
        cell.measure.isLiveFrames ? [.a: 0, .b: 0] : arrangement.workers.mapValues { _ in 0 }
    }
    arrangement.entries = 0
    // A relay is no network: what is to be right is that its frames arrive, and that is what is counted.
    if network.isRelay { arrangement.workers = [:] }
    if let known = gates[arrangement] { return known }
    if network.base == "none" {
      return ABReport.Gate(
        network: network.description, offloads: cell.offloads.rawValue, hosts: "", passed: true,
        summary: "loopback alone: nothing is to get through")
    }
    let stage = try prepare(arrangement, liveFrames: false)
    let report = Gate(mtu: Int(stage.ends(arrangement).client.mtu))
      .run(path(arrangement, on: stage, cell.placement, ports: 16))
    let gate = ABReport.Gate(
      network: network.description, offloads: cell.offloads.rawValue, hosts: arrangement.hostNames,
      passed: report.passed, summary: report.summary)
    gates[arrangement] = gate
    return gate
  }

  public func trial(_ network: Network, _ cell: Cell) throws(Failure) -> Sample {
    try run(network, cell, onWindow: nil)
  }

  public func trialWithCost(
    _ network: Network, _ cell: Cell
  ) throws(Failure) -> (sample: Sample, busyCPUs: Double?) {
    _ = try prepare(arrangement(network, cell), liveFrames: cell.measure.isLiveFrames)
    let watch = WindowWatch(try CPUMeter())
    defer { watch.finish() }
    let sample = try run(network, cell) { watch.open(from: $0, until: $1) }
    return (sample, try watch.busyCPUs())
  }

  // MARK: - Staging

  private func stage(_ spec: LabSpec) throws(Failure) -> Stage {
    if let stage = stages[spec] { return stage }
    let stage = try asFailure("build", "a lab of \(spec.network.rawValue)") { try Stage(spec) }
    stages[spec] = stage
    return stage
  }

  /// The stage with the network on it, its addresses resolved and learned on both hosts.
  private func prepare(_ arrangement: Arrangement, liveFrames: Bool) throws(Failure) -> Stage {
    let stage = try stage(arrangement.spec)
    let network = arrangement.network
    for (spec, other) in stages where spec != arrangement.spec {
      try asFailure("detach", "a tier") { try other.detachAll() }
    }
    // A relay takes everything: addresses are resolved before it comes.
    if network.isRelay {
      try asFailure("detach", "a tier") { try stage.detachAll() }
      try prime(arrangement, stage)
    }
    try asFailure("attach", "\(network)") {
      _ = try stage.arrange(
        network, workers: arrangement.workers, driver: network.driver.flatMap { drivers[$0] },
        entries: arrangement.entries)
    }
    try asFailure("prepare", "\(network)") {
      try stage.receiveLiveFrames(liveFrames)
      try stage.steer(arrangement.steering)
    }
    if let text = stage.obtained { obtained[network] = text }
    if !network.isRelay { try prime(arrangement, stage) }
    try asFailure("fill", "\(network)") { try stage.fill() }
    return stage
  }

  private func prime(_ arrangement: Arrangement, _ stage: Stage) throws(Failure) {
    if arrangement.network.base == "none" { return }
    let gate = Gate(mtu: Int(stage.ends(arrangement).client.mtu))
    try gate.prime(path(arrangement, on: stage, .oneCore, ports: 1))
    for path in stage.pairsToPrime() { try gate.prime(path) }
  }

  func path(
    _ arrangement: Arrangement, on stage: Stage, _ placement: Placement, ports: UInt16
  ) -> Path {
    let ends = stage.ends(arrangement)
    var (client, server) = (stage.station(ends.client), stage.station(ends.server))
    if arrangement.isToHost { server = stage.bridge(of: ends.client.host) }
    if ends.client === ends.server { (client, server) = (client.onLoopback(1), server.onLoopback(2)) }
    if arrangement.isToService { server = server.asService(ends.server.service) }
    // Where a network publishes ports, it is these.
    let usable = LabNames.publishedPorts
    if nextPort > usable.upperBound - ports { nextPort = usable.lowerBound }
    defer { nextPort += ports }
    return Path(
      client: client.pinned(to: placement.clientCPU),
      server: server.pinned(to: placement.serverCPU), port: nextPort)
  }

  // MARK: - Trials

  private func run(
    _ network: Network, _ cell: Cell, onWindow: (@Sendable (UInt64, UInt64) -> Void)?
  ) throws(Failure) -> Sample {
    let arrangement = arrangement(network, cell)
    let stage = try prepare(arrangement, liveFrames: cell.measure.isLiveFrames)
    var path = path(arrangement, on: stage, cell.placement, ports: UInt16(cell.measure.ports(flows: cell.flows)))
    path.onWindow = onWindow
    let before = try asFailure("ask", "\(network)") { try stage.counts() }
    let skbs = try asFailure("ask", "\(network)") { try receivedSKBs(arrangement, cell, stage) }
    var sample = try measure(cell, arrangement, path, stage, onWindow)
    if let skbs, let now = try asFailure("ask", "\(network)", { try receivedSKBs(arrangement, cell, stage) })
    {
      sample.skbBytes = now.bytesEach(since: skbs)
    }
    let after = try asFailure("ask", "\(network)") { try stage.counts() }
    for (host, count) in after {
      let count = count.since(before[host] ?? TierCount())
      // What it does with traffic that is not the overlay's, or chooses to leave, is what is measured.
      if !cell.measure.takesAnyShare && network.tier != Network.automatic {
        try count.check(network, on: host.rawValue)
      }
      sample.tierShare = min(sample.tierShare ?? 1, count.share)
      if let work = count.work { sample.work = (sample.work ?? Work()) + work }
    }
    return sample
  }

  private func measure(
    _ cell: Cell, _ arrangement: Arrangement, _ path: Path, _ stage: Stage,
    _ onWindow: (@Sendable (UInt64, UInt64) -> Void)?
  ) throws(Failure) -> Sample {
    switch cell.measure {
    case .tcpStreamBeside(let neighbours):
      let neighbours = try BusyNeighbours(neighbours.count, share: neighbours.share)
      defer { neighbours.end() }
      return Sample(try TCPStream(size: cell.size, flows: cell.flows, timing: settings.timing).run(path))
    case .bulk(let direction):
      let report = try BulkStreams(size: cell.size, timing: settings.timing).run(path)
      return Sample(value: direction == .up ? report.up : report.down)
    case .allToAll: return try allToAll(cell, arrangement, path, stage)
    case .launch: return try asFailure("launch", "a container") { try launch(arrangement, path, stage) }
    case .demand(let end): return try demand(end, cell, path)
    case .local(let work):
      return try asFailure("measure", "\(cell)") {
        Sample(value: try work.run(at: path.client, duration: settings.duration))
      }
    default: return try measurePlain(cell, arrangement, path, stage, onWindow)
    }
  }

  private func measurePlain(
    _ cell: Cell, _ arrangement: Arrangement, _ path: Path, _ stage: Stage,
    _ onWindow: (@Sendable (UInt64, UInt64) -> Void)?
  ) throws(Failure) -> Sample {
    switch cell.measure.plain {
    case .udpStream:
      return Sample(try UDPStream(size: cell.size, flows: cell.flows, timing: settings.timing).run(path))
    case .udpBatches:
      let load = UDPStream(
        size: cell.size, flows: cell.flows, segments: UDPStream.segmentLimit, timing: settings.timing)
      return Sample(try load.run(path))
    case .tcpStream, .tcpStreamToHost:
      return Sample(try TCPStream(size: cell.size, flows: cell.flows, timing: settings.timing).run(path))
    case .udpRoundTrip:
      return Sample(try UDPRoundTrip(size: cell.size, timing: settings.timing).run(path), of: cell.measure)
    case .tcpRoundTrip, .tcpConnectRoundTrip:
      let load = TCPRoundTrip(
        size: cell.size, connectsEachTime: cell.measure.plain == .tcpConnectRoundTrip, timing: settings.timing
      )
      return Sample(try load.run(path), of: cell.measure)
    case .frames(let frames, let direction):
      return try asFailure("measure", "\(cell)") {
        try measure(frames, direction, cell, arrangement, stage, onWindow)
      }
    default: preconditionFailure("a plain load is none")
    }
  }
}

/// An error of any kind as the failure that reports understand.
func asFailure<T>(_ operation: String, _ subject: String, _ body: () throws -> T) throws(Failure) -> T {
  do {
    return try body()
  } catch let failure as Failure {
    throw failure
  } catch {
    throw Failure(operation, subject, advice: "\(error)")
  }
}

extension Sample {
  init(_ report: UDPStream.Report) {
    self.init(value: report.receivedPerSecond, lostFraction: report.lostFraction)
    sentPerSecond = report.sentPerSecond
  }

  init(_ report: TCPStream.Report) {
    self.init(value: report.receivedBytesPerSecond)
    segments = report.segments
    retransmitted = report.retransmitted
  }

  init(_ delay: LatencyHistogram, lostFraction: Double) {
    self.init(value: delay.microseconds(50), lostFraction: lostFraction)
    keep(delay)
  }

  private mutating func keep(_ latency: LatencyHistogram) {
    self.latency = [
      "p50": latency.microseconds(50), "p90": latency.microseconds(90), "p99": latency.microseconds(99),
      "p99.9": latency.microseconds(99.9), "max": latency.maxMicroseconds,
    ]
    histogram = latency
  }

  init(_ report: RoundTripReport, of measure: Measure) {
    let latency = report.latency
    self.init(
      value: measure.better == .lower ? latency.microseconds(50) : report.transactionsPerSecond,
      unitsPerSecond: report.transactionsPerSecond,
      lostFraction: report.lostFraction)
    keep(latency)
    transactionsPerSecond = report.transactionsPerSecond
  }
}
