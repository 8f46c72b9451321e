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
  public var budget: Double?
  /// Who takes part in a cell, where that was said; otherwise all do, or a quick comparison chooses.
  var choice: [Cell: [Network]]?
  /// A tier is also compared with the network that it is on, where that is not the baseline.
  public var pairsTiers = false
  /// A quick comparison that was not told which networks chooses for each row.
  private let choosesNetworks: Bool
  /// What was asked for and is left out, one line each.
  public var notes: [String] = []
  /// What a quick comparison leaves out for want of time.
  public var leftOut: [String] {
    isQuick && choice == nil ? ["the loss-free rate (ndr_packets_per_second)", "CPU time"] : []
  }

  /// What the command was given; nil is the default.
  public struct Request: Sendable {
    public var networks: [String]?
    public var workloads: [String]?
    public var sizes: [Int]?
    public var offloads: [Offloads]?
    public var placements: [Placement]?
    /// Of tiers, where both hosts work for the row.
    public var ends: [Ends]?
    /// Of streams.
    public var flows: [Int]?
    public var repeats: Int?
    public var duration: Double?
    public var baseline = "vxlan"
    public var quick = false
    /// Of the VXLAN devices, in all rows; nil: as the baseline has it.
    public var outerChecksum: Bool?
    public var asShipped = false
    public init() {}
  }

  /// - Parameter tiers: names that may follow "vxlan+" and the like.
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
    budget = request.quick ? 235 : nil
    choosesNetworks = request.quick && request.networks == nil
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
    // Without a network that has services there is nothing to say of them.
    let all = Measure.workloads.filter { name in
      networks.contains(where: \.hasServices) || !name.hasSuffix(":service")
    }
    for workload in request.workloads ?? (isQuick ? Self.quickWorkloads : all) {
      for measure in try Measure.of(workload: workload) where !isQuick || !measure.isSearch {
        cells += try Self.cells(measure, request, &notes).filter { !cells.contains($0) }
      }
    }
    if request.ends?.contains(where: { $0 != .both }) == true, !cells.contains(where: { $0.ends != .both }) {
      throw Failure(
        "put a tier on one end", "of \((request.workloads ?? []).joined(separator: ", "))",
        advice: "packet-rate's direction says which host is under test; tcp-stream:host has one.",
        status: .usage)
    }
    guard networks.count > 1, !cells.isEmpty else {
      throw Failure(
        "compare", "only \(baseline)", advice: "It is the baseline; give --networks another one too.", status: .usage)
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
        "measure \(measure.workload)", "at \(asked.map(String.init).joined(separator: ", ")) B", advice: "The size is out of range: \(range).", status: .usage)
    }
    let others = asked.filter { !measure.sizes.contains($0) }.map(String.init)
    let note = "\(measure.workload) takes \(range): it is not measured at \(others.joined(separator: ", "))"
    if !others.isEmpty && !notes.contains(note) { notes.append(note) }
    return fitting
  }

  private static let quickWorkloads = [
    "packet-rate:encap", "packet-rate:decap", "udp-rr", "udp-stream", "udp-stream:batches", "tcp-stream",
    "tcp-stream:host",
  ]

  /// Every network's trials; a cell has those that take part in it.
  public var schedule: Schedule { schedule(of: networks) }

  func schedule(of networks: [Network]) -> Schedule {
    Schedule(baseline: baseline, networks: networks, pairsTiers: pairsTiers)
  }

  /// Said by who knows its cells already.
  init(
    baseline: Network, choice: [(cell: Cell, networks: [Network])], repeats: Int, duration: Double, isQuick: Bool
  ) {
    self.baseline = baseline
    cells = choice.map(\.cell)
    networks = [baseline]
    for network in choice.flatMap(\.networks) where !networks.contains(network) { networks.append(network) }
    self.choice = Dictionary(uniqueKeysWithValues: choice.map { ($0.cell, $0.networks) })
    self.repeats = repeats
    searchRepeats = repeats
    (searchSteps, searchDuration) = (8, 0.2)
    self.duration = duration
    warmUp = min(0.25, duration / 3)
    measuresCost = false
    pairsTiers = true
    self.isQuick = isQuick
    choosesNetworks = false
  }

  /// Those that take part in a cell, the baseline first.
  public func networks(of cell: Cell) -> [Network] { networks.filter { takesPart($0, cell) } }

  public func takesPart(_ network: Network, _ cell: Cell) -> Bool {
    if network == baseline { return true }
    if let choice { return choice[cell]?.contains(network) ?? false }
    // Without a tier both ends are plain kernels already.
    if cell.ends != .both && network.tier == nil { return false }
    guard choosesNetworks else { return true }
    // What a quick comparison has no time for: rows that a network's others tell already.
    switch network.description {
    case "vxlan+tc": return true
    case "vxlan+auto": return cell.ends == .both
    // Which tier loses where is told by one row of a kind.
    case "vxlan+xdp": return cell.ends != .both || !(cell.isSmallWrites || cell.outerChecksum != nil)
    case "vxlan+afxdp":
      let isUsual = cell.ends == .both && cell.outerChecksum == nil && !cell.isSmallWrites
      switch cell.measure {
      case .tcpStream: return isUsual && cell.offloads == .off
      case .tcpStreamToHost, .udpBatches, .udpStream: return false
      case .udpRoundTrip: return isUsual && cell.placement == .oneCore
      default: return isUsual
      }
    // The limit of what an overlay could reach.
    default:
      switch cell.measure {
      case .tcpStream: return cell.outerChecksum == nil && !cell.isSmallWrites
      case .udpStream: return cell.size != 64
      case .tcpStreamToHost, .udpBatches: return false
      default: return true
      }
    }
  }

  /// Rows of a quick comparison beside the sizes and offloads of tcp-stream: a tier against a plain kernel, and the
  /// outer checksum as the kernel's VXLAN device has it by default.
  private static func extraStreams(_ request: Request, _ sizes: [Int], _ placement: Placement) -> [Cell] {
    guard request.quick, let size = sizes.max() else { return [] }
    let offloads = request.offloads ?? Offloads.allCases
    var cells: [Cell] = []
    if request.ends == nil, let last = offloads.last {
      cells += [Ends.sender, .receiver].map {
        Cell(measure: .tcpStream, size: size, offloads: last, placement: placement, ends: $0)
      }
    }
    if request.outerChecksum == nil && !request.asShipped, let first = offloads.first {
      cells.append(
        Cell(measure: .tcpStream, size: size, offloads: first, placement: placement, outerChecksum: true))
    }
    return cells
  }

  private static func cells(
    _ measure: Measure, _ request: Request, _ notes: inout [String]
  ) throws(Failure) -> [Cell] {
    let sizes =
      try request.sizes.map { (asked) throws(Failure) in try fitting(measure, asked, &notes) }
      ?? measure.defaultSizes
    let offloads: [Offloads] =
      measure.isLiveFrames
      ? [request.offloads?.first ?? .on] : request.offloads ?? measure.defaultOffloads
    let placements: [Placement] =
      measure.isLiveFrames
      ? [.oneCore] : request.placements ?? (measure.better == .lower ? [.oneCore, .twoCore] : [.twoCore])
    let flows = measure.takesFlows ? request.flows ?? [1] : [1]
    let ends = measure.hasTwoEnds ? request.ends ?? [.both] : [.both]
    var cells: [Cell] = []
    for size in sizes {
      for offloads in offloads {
        for placement in placements {
          for ends in ends {
            cells += flows.map {
              Cell(
                measure: measure, size: size, offloads: offloads, placement: placement, flows: $0, ends: ends)
            }
          }
        }
      }
    }
    if measure == .tcpStream, let placement = placements.last {
      cells += extraStreams(request, sizes, placement)
    }
    return cells
  }
}
