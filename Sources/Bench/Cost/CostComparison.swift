// SPDX-License-Identifier: Apache-2.0

/// Which step of a ladder got better or worse since an older one.
public struct CostComparison {
  public struct Line: Sendable {
    public var part: CostReport.Part
    public var name: String
    var label: String
    public var before: Double
    public var now: Double
    /// Now over before, with the 95 % interval of two samples that nothing pairs.
    public var ratio: Double
    public var interval: ClosedRange<Double>

    /// A difference below a nanosecond is below what the kernel's measurement of a program tells.
    var isMaterial: Bool { abs(now - before) >= 1 || part == .swift }
    public var isWorse: Bool { isMaterial && interval.lowerBound > 1 }
    public var isBetter: Bool { isMaterial && interval.upperBound < 1 }

    /// Worse by more than so much, with all of the interval, and not for the machine being slower.
    public func exceeds(_ percent: Double, drift: Double?) -> Bool {
      isMaterial && interval.lowerBound > (1 + percent / 100) * max(1, part == .path ? 1 : drift ?? 1)
    }
  }

  /// Time of the C beside part `swift`, the same code in both, over what it took then: of the machine itself.
  public private(set) var drift: Double?

  public private(set) var lines: [Line] = []
  /// Steps that only one of the reports has, and other reasons to doubt.
  public private(set) var notes: [String] = []

  public init(_ old: CostReport, _ new: CostReport) {
    var (missing, hidden, drifts): ([String], [String], [Double]) = ([], [], [])
    for step in new.steps {
      guard let before = old.steps.first(where: step.isSame) else {
        missing.append(step.name)
        continue
      }
      if let then = before.referenceNs, let now = step.referenceNs, then > 0 { drifts.append(now / then) }
      guard before.nsPerPacket.median > 0, step.nsPerPacket.median > 0,
        !before.nsPerPacket.isHidden, !step.nsPerPacket.isHidden
      else {
        hidden.append(step.name)
        continue
      }
      guard let ratio = CostReport.Figure(ratioOf: step.samples, to: before.samples) else { continue }
      lines.append(
        Line(
          part: step.part, name: step.name,
          label: "\(step.tier) \(step.step) \(step.conditions.shortWords)", before: before.nsPerPacket.median,
          now: step.nsPerPacket.median,
          ratio: ratio.median, interval: ratio.ci95[0]...ratio.ci95[1]))
    }
    let gone = old.steps.filter { step in !new.steps.contains(where: step.isSame) }.map(\.name)
    note("not in the older result", missing)
    note("only in the older result", gone)
    note("not compared, their spread hides them", hidden)
    drift = Statistics.median(drifts)
    if let drift, !(0.9...1.1).contains(drift) {
      notes.append(
        "the machine is not what it was: the C beside part swift, the same code in both, takes "
          + "\(Quantity.number(drift))× as long as then. So much of every ratio may be the machine's; --fail-above allows for it."
      )
    }
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
      "step".left(45) + "before".right(6) + "now".right(6) + "ratio".right(7) + "95 %".right(11) + ""
    ]
    for line in changed {
      text.append(
        line.label.left(45) + Quantity.nanoseconds(line.before).right(6)
          + Quantity.nanoseconds(line.now).right(6) + (Quantity.number(line.ratio) + "×").right(7)
          + "\(Quantity.number(line.interval.lowerBound))–\(Quantity.number(line.interval.upperBound))".right(
            11)
          + (line.isWorse ? " slow" : " fast"))
    }
    let same = lines.count - changed.count
    text.append(
      "\(changed.count { $0.isWorse }) slower, \(changed.count { $0.isBetter }) faster, \(same) no difference"
    )
    return (text + notes.flatMap { $0.wrapped(80, indent: 2) }).joined(separator: "\n") + "\n"
  }
}

extension CostReport.Step {
  /// "xdp encapsulate, IPv4, 64 B"
  var name: String {
    conditions.words.isEmpty ? "\(tier) \(step)" : "\(tier) \(step), \(conditions.words)"
  }
}
