// SPDX-License-Identifier: Apache-2.0
import LinuxSystem

/// A kernel network and, optionally, the tier that Culvert attaches to it: "vxlan+xdp".
public struct Network: Hashable, Sendable, CustomStringConvertible {
  public var base: String
  public var tier: String?

  public init(base: String, tier: String? = nil) {
    self.base = base
    self.tier = tier
  }

  /// What this version builds; the tiers are those it is given.
  public static let bases = ["bare", "vxlan"]

  /// Throws for a name that is none of `bases`, or a tier that cannot serve it.
  public init(_ text: String, tiers: [String]) throws(Failure) {
    let parts = text.split(separator: "+", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    self.init(base: parts[0], tier: parts.count > 1 ? parts[1] : nil)
    let known = Self.bases + tiers.map { "vxlan+\($0)" }
    guard known.contains(description) else {
      throw Failure(
        "compare network", text, advice: "Known: \(known.joined(separator: " ")).", status: .usage)
    }
  }

  public var description: String { tier.map { "\(base)+\($0)" } ?? base }
}
