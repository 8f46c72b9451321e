// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import Traffic

/// What a comparison is to cover: options turned into networks and cells.
public struct Plan: Sendable {
  public var baseline: Network
  public var networks: [Network]
  public var cells: [Cell]
  public var repeats: Int
  public var searchRepeats: Int
  /// Trials of one search for the loss-free rate, and the seconds that each counts.
  public var searchSteps: Int
  public var searchDuration: Double
  /// Also the CPU time per packet, in trials of their own.
  public var measuresCost: Bool
  public var duration: Double
  public var warmUp: Double
  public var isQuick: Bool
  /// Seconds that it should take, if it has to end.
  public var budget: Double? { isQuick ? 165 : nil }
  /// What was asked for and is left out, one line each.
  public var notes: [String] = []
  /// What a quick comparison leaves out for want of time.
  public var leftOut: [String] { isQuick ? ["the loss-free rate (ndr_packets_per_second)", "CPU time"] : [] }

  /// What the command was given; nil is the default.
  public struct Request: Sendable {
    public var networks: [String]?
    public var workloads: [String]?
    public var sizes: [Int]?
    public var offloads: [Offloads]?
    public var placements: [Placement]?
    /// Of streams.
    public var flows: [Int]?
    public var repeats: Int?
    public var duration: Double?
    public var baseline = "vxlan"
    public var quick = false
    public init() {}
  }

  /// - Parameter tiers: names that may follow "vxlan+".
  public init(_ request: Request, tiers: [String]) throws(Failure) {
    baseline = try Network(request.baseline, tiers: tiers)
    var networks: [Network] = [baseline]
    let names =
      request.networks == ["all"]
      ? Network.all(tiers: tiers) : request.networks ?? ["bare", "vxlan"] + tiers.map { "vxlan+\($0)" }
    for name in names {
      let network = try Network(name, tiers: tiers)
      if !networks.contains(network) { networks.append(network) }
    }
    self.networks = networks
    isQuick = request.quick
    // A quick one has as few as support a verdict.
    repeats = request.repeats ?? (isQuick ? RatioEstimate.pairsForVerdict : 12)
    searchRepeats = min(repeats, RatioEstimate.pairsForVerdict)
    searchSteps = 8
    searchDuration = 0.2
    measuresCost = !isQuick
    duration = request.duration ?? (isQuick ? 0.2 : 1)
    warmUp = min(0.25, duration / 3)
    guard repeats > 0, duration > 0, duration <= 60 else {
      throw Failure(
        "compare", "with \(repeats) repeats of \(duration) s", advice: "At least one, of at most 60 s.",
        status: .usage)
    }
    if let flows = request.flows, flows.isEmpty || !flows.allSatisfy((1...Path.flowLimit).contains) {
      throw Failure(
        "measure", "with \(flows) flows", advice: "Give 1 to \(Path.flowLimit).", status: .usage)
    }
    cells = []
    for workload in request.workloads ?? (isQuick ? Self.quickWorkloads : Measure.workloads) {
      for measure in try Measure.of(workload: workload) where !isQuick || !measure.isSearch {
        cells += try Self.cells(measure, request, &notes).filter { !cells.contains($0) }
      }
    }
    guard networks.count > 1, !cells.isEmpty else {
      throw Failure(
        "compare", "\(baseline) with nothing", advice: "Give --networks another one.", status: .usage)
    }
  }

  /// Those asked for that the workload can have; a workload that can have none of them is a mistake.
  private static func fitting(
    _ measure: Measure, _ asked: [Int], _ notes: inout [String]
  ) throws(Failure) -> [Int] {
    let range = "\(measure.sizes.lowerBound) to \(measure.sizes.upperBound) B"
    let fitting = asked.filter(measure.sizes.contains)
    guard !fitting.isEmpty else {
      throw Failure(
        "measure \(measure.workload)", "at \(asked) bytes", advice: "It takes \(range).", status: .usage)
    }
    let others = asked.filter { !measure.sizes.contains($0) }.map(String.init)
    let note = "\(measure.workload) takes \(range): it is not measured at \(others.joined(separator: ", "))"
    if !others.isEmpty && !notes.contains(note) { notes.append(note) }
    return fitting
  }

  private static let quickWorkloads = [
    "packet-rate:encap", "packet-rate:decap", "udp-rr", "udp-stream", "tcp-stream",
  ]

  private static func cells(
    _ measure: Measure, _ request: Request, _ notes: inout [String]
  ) throws(Failure) -> [Cell] {
    let sizes =
      try request.sizes.map { (asked) throws(Failure) in try fitting(measure, asked, &notes) }
      ?? measure.defaultSizes
    let offloads: [Offloads] =
      measure.isLiveFrames
      ? [request.offloads?.first ?? .on] : request.offloads ?? (measure == .tcpStream ? [.on, .off] : [.on])
    let placements: [Placement] =
      measure.isLiveFrames
      ? [.oneCore] : request.placements ?? (measure.better == .lower ? [.oneCore, .twoCore] : [.twoCore])
    let flows = measure.takesFlows ? request.flows ?? [1] : [1]
    var cells: [Cell] = []
    for size in sizes {
      for offloads in offloads {
        for placement in placements {
          cells += flows.map {
            Cell(measure: measure, size: size, offloads: offloads, placement: placement, flows: $0)
          }
        }
      }
    }
    return cells
  }
}
