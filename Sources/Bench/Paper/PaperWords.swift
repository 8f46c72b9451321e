// SPDX-License-Identifier: Apache-2.0

/// What every form of the report says.
extension PaperReport {
  func count(_ outcome: FindingOutcome) -> Int {
    experiments.flatMap(\.findings).count { $0.outcome == outcome }
  }

  /// The result in one sentence.
  var sentence: String {
    let total = experiments.reduce(0) { $0 + $1.findings.count }
    guard total > 0 else { return "Nothing of the study was measured here" }
    var text = "\(count(.holds)) of the study's \(total) findings hold here, \(count(.doesNotHold)) do not"
    let open = count(.cannotBeTold)
    if open > 0 { text += ", \(open) cannot be told" }
    if let best = bestTier {
      text +=
        "; \(best.network) is up to \(Quantity.number(best.speed))× as fast as the kernel's \(best.kernel)"
    }
    return text
  }

  /// The tier and row with the largest gain that its interval supports.
  private var bestTier: (network: String, kernel: String, speed: Double)? {
    let gains = measurements.comparisons.filter { $0.b != PaperExperiment.baseline && $0.outcome == .better }
    return gains.max { $0.speedRatio < $1.speedRatio }.map { ($0.a, $0.b, $0.speedRatio) }
  }

  /// How many rows a tier is better and worse in than the kernel's own network.
  var tiers:
    [(network: String, kernel: String, better: Int, worse: Int, alike: Int, speeds: ClosedRange<Double>)]
  {
    var order: [String] = []
    for one in measurements.comparisons where one.b != PaperExperiment.baseline && !order.contains(one.a) {
      order.append(one.a)
    }
    return order.map { network in
      let all = measurements.comparisons.filter { $0.a == network && $0.b != PaperExperiment.baseline }
      let speeds = all.map(\.speedRatio)
      return (
        network, all[0].b, all.count { $0.outcome == .better }, all.count { $0.outcome == .worse },
        all.count { $0.outcome == .noDifference || $0.outcome == .tooFewPairs }, speeds.min()!...speeds.max()!
      )
    }
  }
}

extension PaperReport.Experiment {
  /// "skipped: ipip: …; routed: …"
  var missingText: String? {
    guard let missing, !missing.isEmpty else { return nil }
    let reasons = Set(missing.values).sorted()
    return "skipped: "
      + reasons.map { reason in
        "\(missing.filter { $0.value == reason }.keys.sorted().joined(separator: ", ")): \(reason)"
      }.joined(separator: "; ")
  }
}

/// Figures of one load, by network and size: what a block of the table, or a drawing, shows.
struct PaperBlock {
  var workload: String
  var metric: String
  var unit: String
  var span: String?
  var offloads: String
  var figures: [PaperReport.Figure]

  /// In the order of measuring.
  var networks: [String] {
    var seen: [String] = []
    for figure in figures where !seen.contains(figure.network) { seen.append(figure.network) }
    return seen
  }
  /// Sizes, or numbers of containers.
  var sizes: [Int] { Set(figures.map(\.axis)).sorted() }
  var isByContainers: Bool { figures.contains { $0.containers != nil } }

  func figure(_ network: String, _ size: Int) -> PaperReport.Figure? {
    figures.first { $0.network == network && $0.axis == size }
  }

  var row: Row { Row(workload: workload, metric: metric, size: 0, offloads: offloads, placement: "") }

  var title: String {
    let place = span.flatMap(Span.init).map { " \($0.words)" } ?? ""
    let loads = offloads == "on" ? ", offloads on" : ""
    return "\(isByContainers ? "\(workload), \(Quantity.size(figures[0].size))" : row.title)\(place)\(loads)"
  }
  var isLatency: Bool { row.isLatency }
  /// Times of which a ratio to `bare` says little: they are told as they are.
  var isAbsolute: Bool { unit == "ms" || metric.hasSuffix("_demand_us") }
  /// What the figures are.
  var meaning: String { row.figure }

  static func all(of experiment: PaperReport.Experiment) -> [PaperBlock] {
    var blocks: [PaperBlock] = []
    for figure in experiment.figures {
      let index = blocks.firstIndex {
        $0.workload == figure.workload && $0.span == figure.span
          && ($0.metric == figure.metric || figure.containers != nil)
          && $0.offloads == figure.offloads
      }
      if let index {
        blocks[index].figures.append(figure)
      } else {
        blocks.append(
          PaperBlock(
            workload: figure.workload, metric: figure.metric, unit: figure.unit, span: figure.span,
            offloads: figure.offloads, figures: [figure]))
      }
    }
    return blocks
  }
}

extension PaperReport.Figure {
  private static func text(_ ratio: Double, _ bounds: [Double]?) -> String {
    // As much of a bound as it takes to see on which side of 1 it is.
    let apart = bounds.map { $0.allSatisfy { $0 > 1 } || $0.allSatisfy { $0 < 1 } } ?? false
    let interval =
      bounds.map { $0.map(apart ? Quantity.apartFromOne : Quantity.number).joined(separator: "–") } ?? ""
    return "\(Quantity.number(ratio))× \(interval)"
  }
  /// "0.45× 0.43–0.47": against `bare`.
  var ratioText: String? { ratio.map { Self.text($0, ratioCi95) } }
  /// "12.3 ms 11.0–13.0"
  var valueText: String? {
    guard let median else { return nil }
    let bounds = ci95.map { bounds in
      " " + bounds.map { Quantity.text($0, unit: unit).split(separator: " ")[0] }.joined(separator: "–")
    }
    return Quantity.text(median, unit: unit) + (bounds ?? "")
  }
  /// The same against the network that a tier is on.
  var kernelRatioText: String? { kernelRatio.map { Self.text($0, kernelRatioCi95) } }
  /// "namespace 1.20, interface 3.40, ping 0.30 ms"
  var partsText: String? {
    guard let parts = partsMs, !parts.isEmpty else { return nil }
    let order = ["namespace", "interface", "routes", "carrier", "ping"]
    let known = order.filter { parts[$0] != nil } + parts.keys.filter { !order.contains($0) }.sorted()
    return known.map { "\($0) \(Quantity.number(parts[$0]!))" }.joined(separator: ", ") + " ms"
  }
  /// Of its block.
  var axis: Int { containers ?? size }
  var paperText: String? {
    paperValue.map { Quantity.text($0, unit: unit) } ?? paperRatio.map { "\(Quantity.number($0))×" }
  }
  var medianText: String? { median.map { Quantity.text($0, unit: unit) } }

  /// Better is higher, or lower.
  func isGood(_ verdict: Verdict?) -> Bool? {
    switch verdict {
    case .better: true
    case .worse: false
    case .noDifference, nil: nil
    }
  }
}

extension PaperBlock {
  /// Of a column.
  func label(_ size: Int) -> String {
    if isByContainers { return "\(size) containers" }
    return size == 0 ? "" : Quantity.size(size)
  }
}
