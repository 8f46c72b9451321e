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

    /// Worse by more than so much, with all of the interval.
    public func exceeds(_ percent: Double) -> Bool {
      isMaterial && interval.lowerBound > 1 + percent / 100
    }
  }

  public private(set) var lines: [Line] = []
  /// Steps that only one of the reports has, and other reasons to doubt.
  public private(set) var notes: [String] = []

  public init(_ old: CostReport, _ new: CostReport) {
    for step in new.steps {
      guard let before = old.steps.first(where: step.isSame) else {
        notes.append("not in the older result: \(step.name)")
        continue
      }
      guard before.nsPerPacket.median > 0, step.nsPerPacket.median > 0,
        !before.nsPerPacket.isHidden, !step.nsPerPacket.isHidden
      else {
        notes.append("not compared, its spread hides it: \(step.name)")
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
    for step in old.steps where !new.steps.contains(where: step.isSame) {
      notes.append("only in the older result: \(step.name)")
    }
    let (a, b) = (old.environment, new.environment)
    if a.cpu != b.cpu || a.kernel != b.kernel {
      notes.append("another machine: \(a.cpu), Linux \(a.kernel)")
    }
    if a.debugBuild || b.debugBuild { notes.append("a debug build is among them: the timings say little") }
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
