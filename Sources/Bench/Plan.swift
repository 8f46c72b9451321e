// SPDX-License-Identifier: Apache-2.0
import LinuxSystem

/// What a comparison is to cover: options turned into networks and cells.
public struct Plan: Sendable {
  public var baseline: Network
  public var networks: [Network]
  public var cells: [Cell]
  public var repeats: Int
  public var searchRepeats: Int
  public var duration: Double
  public var warmUp: Double

  /// What the command was given; nil is the default.
  public struct Request: Sendable {
    public var networks: [String]?
    public var workloads: [String]?
    public var sizes: [Int]?
    public var offloads: [Offloads]?
    public var placements: [Placement]?
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
    for name in request.networks ?? ["bare", "vxlan"] + tiers.map({ "vxlan+\($0)" }) {
      let network = try Network(name, tiers: tiers)
      if !networks.contains(network) { networks.append(network) }
    }
    self.networks = networks
    repeats = request.repeats ?? (request.quick ? 8 : 12)
    searchRepeats = min(repeats, RatioEstimate.pairsForVerdict)
    duration = request.duration ?? (request.quick ? 0.3 : 1)
    warmUp = min(0.25, duration / 3)
    guard repeats > 0, duration > 0, duration <= 60 else {
      throw Failure(
        "compare", "with \(repeats) repeats of \(duration) s", advice: "At least one, of at most 60 s.",
        status: .usage)
    }
    cells = []
    for workload in request.workloads ?? Measure.workloads {
      for measure in try Measure.of(workload: workload) { cells += Self.cells(measure, request) }
    }
    guard networks.count > 1, !cells.isEmpty else {
      throw Failure(
        "compare", "\(baseline) with nothing", advice: "Give --networks another one.", status: .usage)
    }
    for cell in cells where !cell.measure.sizes.contains(cell.size) {
      throw Failure(
        "measure \(cell.measure.workload)", "at \(cell.size) bytes",
        advice: "\(cell.measure.sizes.lowerBound) to \(cell.measure.sizes.upperBound).", status: .usage)
    }
  }

  /// The quick plan has each workload once, where it tells most.
  private static func cells(_ measure: Measure, _ request: Request) -> [Cell] {
    let isQuick = request.quick
    let sizes = request.sizes ?? (isQuick ? [measure.defaultSizes[0]] : measure.defaultSizes)
    let offloads: [Offloads] =
      measure.isLiveFrames
      ? [request.offloads?.first ?? .on]
      : request.offloads ?? (measure == .tcpStream ? (isQuick ? [.off] : [.on, .off]) : [.on])
    let placements: [Placement] =
      measure.isLiveFrames
      ? [.oneCore]
      : request.placements
        ?? (measure == .udpRoundTrip ? (isQuick ? [.oneCore] : [.oneCore, .twoCore]) : [.twoCore])
    return sizes.flatMap { size in
      offloads.flatMap { offloads in
        placements.map { Cell(measure: measure, size: size, offloads: offloads, placement: $0) }
      }
    }
  }
}

extension Measure {
  /// Bytes it can be asked for: a number must fit into a datagram, all headers into a frame, a frame into the
  /// MTU.
  var sizes: ClosedRange<Int> {
    switch self {
    case .packetRate, .noDropRate: 64...1464
    case .udpRoundTrip, .udpStream: 8...65_507
    case .tcpStream: 1...16_777_216
    }
  }
}
