// SPDX-License-Identifier: Apache-2.0

/// Two groups that samples fall into, far apart: their median is then nobody's figure.
///
/// The test is Engelman and Hartigan's (Percentage points of a test for clusters, JASA 64, 1969): sorted samples are cut
/// where the sum of squares within the two parts is least, and that sum over the one about the common mean is compared
/// with what samples of a single normal distribution reach in one case of 200. Each part has at least a fifth
/// of the samples, so that a straggler is none, and the parts' medians lie a quarter apart, so that a difference too small
/// to matter is none either. It claims nothing of fewer than six samples.
struct Modes: Equatable {
  struct Mode: Equatable {
    var median: Double
    var samples: Int
  }
  var low: Mode
  var high: Mode

  private static let leastSamples = 6
  private static let leastRatio = 1.25

  /// Of a normal distribution 0.5 % have less, by the number of samples: from 20,000 to 40,000 draws each.
  private static let limits: [(samples: Int, share: Double)] = [
    (6, 0.0230), (7, 0.0374), (8, 0.0494), (9, 0.0666), (10, 0.0792), (12, 0.0977), (14, 0.115), (16, 0.133),
    (20, 0.158), (24, 0.175), (32, 0.198), (40, 0.219),
  ]

  /// Linear between those; of more samples than there are the last.
  private static func limit(_ samples: Int) -> Double {
    guard let above = limits.firstIndex(where: { $0.samples >= samples }) else { return limits.last!.share }
    guard above > 0 else { return limits[0].share }
    let (low, high) = (limits[above - 1], limits[above])
    let part = Double(samples - low.samples) / Double(high.samples - low.samples)
    return low.share + part * (high.share - low.share)
  }

  /// nil where one mode tells them as well.
  init?(_ values: [Double]) {
    guard values.count >= Self.leastSamples, values.allSatisfy(\.isFinite) else { return nil }
    let sorted = values.sorted()
    let all = Self.squares(sorted[...])
    let least = max(2, (sorted.count + 4) / 5)
    let cuts = (least...(sorted.count - least)).map { cut in
      (cut: cut, within: Self.squares(sorted[..<cut]) + Self.squares(sorted[cut...]))
    }
    guard all > 0, let best = cuts.min(by: { $0.within < $1.within }), best.within < all * Self.limit(sorted.count),
      let low = Statistics.median(Array(sorted[..<best.cut])),
      let high = Statistics.median(Array(sorted[best.cut...])), high >= low * Self.leastRatio
    else { return nil }
    self.low = Mode(median: low, samples: best.cut)
    self.high = Mode(median: high, samples: sorted.count - best.cut)
  }

  /// About the mean.
  private static func squares(_ values: ArraySlice<Double>) -> Double {
    let mean = values.reduce(0, +) / Double(values.count)
    return values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
  }
}

extension Modes {
  /// "two modes: 1.29 M/s in 3 trials, 3.70 M/s in 3"
  func words(unit: String) -> String {
    "two modes: \(Quantity.text(low.median, unit: unit)) in \(low.samples) trials, "
      + "\(Quantity.text(high.median, unit: unit)) in \(high.samples)"
  }
}
