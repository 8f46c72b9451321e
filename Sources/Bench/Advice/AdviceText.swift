// SPDX-License-Identifier: Apache-2.0

/// Advice in at most 80 columns.
public struct AdviceText {
  public var advice: Advice
  public init(_ advice: Advice) { self.advice = advice }

  private static let width = ABTable.width

  public var text: String {
    var lines = (headline + ".").wrapped(Self.width)
    lines += "By measurements of \(advice.basis).".wrapped(Self.width)
    if !advice.choices.isEmpty {
      lines += ["", "network".left(18) + "speed against \(advice.reference), 95 %"]
    }
    for choice in advice.choices { lines += self.choice(choice) }
    if !advice.others.isEmpty { lines += ["", "Not considered:"] }
    for other in advice.others {
      lines += "  \(other.network): \(other.reason)".wrapped(Self.width, indent: 4).map { "  " + $0 }
    }
    return lines.joined(separator: "\n") + "\n"
  }

  /// What to do, in a sentence.
  public var headline: String {
    guard let first = advice.choices.first else {
      return advice.question.needsEncryption
        ? "Nothing that was measured encrypts" : "Nothing that was measured fits"
    }
    let equals = advice.choices.dropFirst().filter(\.isAsGoodAsFirst).map(\.network)
    if first.network == advice.reference || first.isNoGain {
      let word =
        first.network == advice.reference
        ? "it is the fastest that was measured" : "no difference to the fastest, \(first.network)"
      return "Stay with \(advice.reference): \(word)"
    }
    let beside = equals.isEmpty ? "" : "; no difference to \(equals.joined(separator: ", "))"
    return "Take \(first.network): \(Self.gain(first)) as fast as \(advice.reference)\(beside)"
  }

  private static func gain(_ choice: Advice.Choice) -> String {
    "\(Quantity.number(choice.speed))× (\(Quantity.apartFromOne(choice.range.lowerBound))–\(Quantity.apartFromOne(choice.range.upperBound)))"
  }

  private func choice(_ choice: Advice.Choice) -> [String] {
    let isReference = choice.network == advice.reference
    let note = isReference ? "what it is compared with" : choice.isNoGain ? "no difference" : ""
    let line = choice.network.left(18) + (isReference ? "1" : Self.gain(choice)).left(22) + note
    return [line.withoutTrailingBlanks]
      + choice.drawbacks.flatMap { "against it: \($0)".wrapped(Self.width - 2, indent: 2).map { "  " + $0 } }
  }
}

/// The outcome of `--verify`.
public struct AdviceCheckText {
  public var check: AdviceCheck
  public init(_ check: AdviceCheck) { self.check = check }

  public var text: String {
    let near = "\(Int((1 - AdviceCheck.nearness) * 100 + 0.5)) % of the best"
    func line(_ name: String, _ tally: AdviceCheck.Tally) -> [String] {
      guard tally.asked > 0 else { return ["\(name): none to hold out"] }
      var lines = ["\(name): the pick is within \(near) in \(tally.near) of \(tally.asked)"]
      for miss in tally.misses {
        lines += "\(miss.row): \(miss.picked) is \(Quantity.number(miss.speed))× as fast as \(miss.best)"
          .wrapped(ABTable.width - 2, indent: 2).map { "  " + $0 }
      }
      return lines
    }
    return (line("sizes held out", check.sizes) + line("trials held out", check.trials)).joined(
      separator: "\n") + "\n"
  }
}
