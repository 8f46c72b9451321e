// SPDX-License-Identifier: Apache-2.0

extension ABReport {
  /// What is on trial first, the kernel's other networks after it.
  var others: [String] {
    let baseline = settings.baselineNetwork
    let networks = settings.networks.filter { network in
      network != baseline && results.contains { $0.network == network }
    }
    return networks.filter { $0.contains("+") } + networks.filter { !$0.contains("+") }
  }

  /// The result in a sentence: how fast each tier is, from its weakest row to its best; of kernel networks where there is no tier.
  var sentence: String {
    let baseline = settings.baselineNetwork
    let onTrial = others.contains { $0.contains("+") } ? others.filter { $0.contains("+") } : others
    let parts = onTrial.compactMap { network -> (name: String, range: String)? in
      let told = comparisons.filter { $0.a == network && $0.b == baseline && $0.outcome != .tooFewPairs }
      let speeds = told.map(\.speedRatio)
      guard let low = speeds.min(), let high = speeds.max() else { return nil }
      let (from, to) = (Quantity.number(low), Quantity.number(high))
      return (network, from == to ? "\(from) times" : "\(from) to \(to) times")
    }
    guard let first = parts.first else {
      return "\(others.joined(separator: ", ")) against \(baseline): too few pairs for a result"
    }
    let rest = parts.dropFirst().map { ", \($0.name) \($0.range)" }.joined()
    return "\(first.name) is \(first.range) as fast as \(baseline), row by row\(rest)"
  }
}
