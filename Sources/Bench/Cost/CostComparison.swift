// SPDX-License-Identifier: Apache-2.0
import Glibc

/// Which step of a ladder got better or worse since an older one.
public struct CostComparison {
  public struct Line: Sendable {
    public var part: CostReport.Part
    public var name: String
    var label: String
    public var before: Double
    public var now: Double
    /// Now over before, with its 95 % interval.
    public var ratio: Double
    public var interval: ClosedRange<Double>
    /// What one build differs from itself by, at least 1: nothing within it, either way, is a difference.
    public var floor: Double

    /// The kernel tells whole nanoseconds of a program, and what is shown is the difference of two of them.
    var isMaterial: Bool { abs(now - before) > 2 || part == .swift }
    public var isWorse: Bool { isMaterial && interval.lowerBound > 1 && ratio > floor }
    public var isBetter: Bool { isMaterial && interval.upperBound < 1 && ratio < 1 / floor }

    /// Worse by more than so much, with all of the interval, and not for the machine being slower.
    public func exceeds(_ percent: Double, drift: Double?) -> Bool {
      isWorse && interval.lowerBound > (1 + percent / 100) * max(1, part == .path ? 1 : drift ?? 1)
    }
  }

  /// Time of the C beside part `swift`, the same code in both, over what it took then: of the machine itself.
  public private(set) var drift: Double?
  /// By part, where all its steps have the same.
  public private(set) var floors: [CostReport.Part: Double] = [:]

  public private(set) var lines: [Line] = []
  /// Steps that only one of the reports has, and other reasons to doubt.
  public private(set) var notes: [String] = []

  /// Two results, taken at different times: neither tells how far a build is from itself then. It is taken to be what
  /// was seen, or what the C beside part `swift` differs by, the same code in both, where that is more.
  public init(_ old: CostReport, _ new: CostReport) {
    var (hidden, drifts): ([String], [Double]) = ([], [])
    var ratios: [(step: CostReport.Step, before: CostReport.Step, ratio: CostReport.Figure)] = []
    for step in new.steps {
      guard let before = old.steps.first(where: step.isSame) else { continue }
      if let then = before.referenceNs, let now = step.referenceNs, then > 0 { drifts.append(now / then) }
      guard !before.isUnclear, !step.isUnclear else {
        hidden.append(step.name)
        continue
      }
      guard let ratio = CostReport.Figure(ratioOf: step.samples, to: before.samples) else { continue }
      ratios.append((step, before, ratio))
    }
    noteMissing(old, new)
    note("not compared, their spread hides them", hidden)
    drift = Statistics.median(drifts)
    for part in CostReport.Part.allCases {
      floors[part] = max(Self.usualFloor, Self.spread(part == .path ? [] : drifts))
    }
    for (step, before, ratio) in ratios {
      lines.append(
        Line(
          part: step.part, name: step.name, label: step.label, before: before.nsPerPacket.median,
          now: step.nsPerPacket.median, ratio: ratio.median, interval: ratio.ci95[0]...ratio.ci95[1],
          floor: floors[step.part]!))
    }
    if let drift, !(0.9...1.1).contains(drift) {
      notes.append(
        "the machine is not what it was: the C beside part swift, the same code in both, takes "
          + "\(Quantity.number(drift))× as long as then. So much of every ratio may be the machine's; --fail-above allows for it."
      )
    }
    doubt(old, new)
  }

  /// Two builds by turns: ratios within each half of a block, and of each build's two runs of a block as the floor.
  public init(_ blocks: [CostAgainst.Block]) {
    guard let new = blocks.first?.own.first, let old = blocks.first?.other.first else { return }
    var hidden: [String] = []
    var found:
      [(step: CostReport.Step, pairs: RatioEstimate, own: RatioEstimate, medians: (Double, Double))] = []
    for step in new.steps where old.steps.contains(where: step.isSame) {
      func medians(_ reports: [CostReport]) -> [Double] {
        reports.compactMap {
          $0.steps.first(where: step.isSame).flatMap { $0.isUnclear ? nil : $0.nsPerPacket.median }
        }
      }
      var (pairs, own, before, now):
        ([(a: Double, b: Double)], [(a: Double, b: Double)], [Double], [Double]) =
          ([], [], [], [])
      for block in blocks {
        let (other, mine) = (medians(block.other), medians(block.own))
        guard other.count == 2, mine.count == 2 else { continue }
        pairs += zip(mine, other).map { (a: $0, b: $1) }
        own += [(a: other[1], b: other[0]), (a: mine[1], b: mine[0])]
        before += other
        now += mine
      }
      guard let estimate = RatioEstimate(pairs: pairs), let noise = RatioEstimate(pairs: own),
        let before = Statistics.median(before), let now = Statistics.median(now)
      else {
        hidden.append(step.name)
        continue
      }
      found.append((step, estimate, noise, (before, now)))
    }
    noteMissing(old, new)
    note("not compared, their spread hides them", hidden)
    for part in CostReport.Part.allCases {
      // Of a few nanoseconds one is a large part.
      let telling = found.filter { $0.step.part == part && (part != .bpf || $0.medians.0 >= 10) }
      floors[part] = Self.spread(telling.map(\.own.ratio))
    }
    let isEnough = blocks.count * 2 >= RatioEstimate.pairsForVerdict
    for (step, estimate, noise, medians) in found {
      let (low, high) = (noise.interval.lowerBound, noise.interval.upperBound)
      let own = max(floors[step.part]!, high, low > 0 ? 1 / low : .infinity)
      lines.append(
        Line(
          part: step.part, name: step.name, label: step.label, before: medians.0, now: medians.1,
          ratio: estimate.ratio, interval: estimate.interval, floor: isEnough ? own : .infinity))
    }
    if !isEnough { notes.append("fewer than \(RatioEstimate.pairsForVerdict) pairs support no verdict") }
    doubt(old, new)
  }

  /// Nineteen in twenty of these ratios, of what should be 1, lie within it and its inverse.
  static func spread(_ ratios: [Double]) -> Double {
    exp(Statistics.quantile(ratios.filter { $0 > 0 }.map { abs(log($0)) }, 0.95) ?? 0)
  }

  /// Two results of one build on a virtual machine, minutes apart, differed by up to 18 %.
  static let usualFloor = 1.2

  private mutating func noteMissing(_ old: CostReport, _ new: CostReport) {
    let missing = new.steps.filter { step in !old.steps.contains(where: step.isSame) }.map(\.name)
    let gone = old.steps.filter { step in !new.steps.contains(where: step.isSame) }.map(\.name)
    note("not in the older result", missing)
    note("only in the older result", gone)
  }

  private mutating func doubt(_ old: CostReport, _ new: CostReport) {
    let (a, b) = (old.environment, new.environment)
    if a.cpu != b.cpu || a.kernel != b.kernel {
      notes.append("another machine: \(a.cpu), Linux \(a.kernel)")
    }
    if a.debugBuild || b.debugBuild { notes.append("a debug build is among them: the timings say little") }
  }

  private mutating func note(_ what: String, _ names: [String]) {
    guard !names.isEmpty else { return }
    let more = names.count > 3 ? " and \(names.count - 3) more" : ""
    notes.append("\(what): \(names.prefix(3).joined(separator: "; "))\(more)")
  }

  /// At most 80 columns: what changed, worst first, and how many did not.
  public var text: String {
    let changed = lines.filter { $0.isWorse || $0.isBetter }.sorted { $0.ratio > $1.ratio }
    var text = [
      "step".left(43) + "before".right(6) + "now".right(6) + "ratio".right(7) + "95 %".right(11) + ""
    ]
    for line in changed {
      text.append(
        line.label.left(43) + Quantity.nanoseconds(line.before).right(6)
          + Quantity.nanoseconds(line.now).right(6) + (Quantity.number(line.ratio) + "×").right(7)
          + "\(Quantity.number(line.interval.lowerBound))–\(Quantity.number(line.interval.upperBound))".right(
            11)
          + (line.isWorse ? " slower" : " faster"))
    }
    let same = lines.count - changed.count
    text.append(
      "\(changed.count { $0.isWorse }) slower, \(changed.count { $0.isBetter }) faster, \(same) no difference"
    )
    let known = CostReport.Part.allCases.compactMap { part in
      lines.contains { $0.part == part }
        ? floors[part].map { "\(part.rawValue) \(Quantity.number($0))×" } : nil
    }
    text += "noise floor, within which nothing is a difference: \(known.joined(separator: ", "))".wrapped(
      80, indent: 2)
    return (text + notes.flatMap { $0.wrapped(80, indent: 2) }).joined(separator: "\n") + "\n"
  }
}

extension CostReport.Step {
  /// "xdp encapsulate, IPv4, 64 B"
  var name: String {
    conditions.words.isEmpty ? "\(tier) \(step)" : "\(tier) \(step), \(conditions.words)"
  }

  fileprivate var label: String { "\(tier) \(step) \(conditions.shortWords)" }

  /// Its spread hides it, or it is below what can be told.
  fileprivate var isUnclear: Bool { nsPerPacket.median <= 0 || nsPerPacket.isHidden }
}
