// SPDX-License-Identifier: Apache-2.0
import DataPlane
import LinuxSystem

/// Packets that a tier decided on: carried past the kernel's stack, or left to it. What it dropped, for want of
/// room or by policy, is in neither: that shows in what arrives.
public struct TierCount: Sendable, Equatable {
  public var carried: UInt64
  /// By reason.
  public var passed: [String: UInt64]
  /// What its threads did, if it has any.
  public var work: Work?

  public init(carried: UInt64 = 0, passed: [String: UInt64] = [:], work: Work? = nil) {
    self.carried = carried
    self.passed = passed
    self.work = work
  }

  /// A trial in which the kernel carried more than this part is none of the tier.
  public static let leastShare = 0.9

  /// 0 to 1; nothing seen is nothing carried.
  public var share: Double {
    let all = carried + passed.values.reduce(0, +)
    return all == 0 ? 0 : Double(carried) / Double(all)
  }

  public func since(_ earlier: TierCount) -> TierCount {
    var difference = TierCount(
      carried: carried - min(carried, earlier.carried), work: work.map { $0 - (earlier.work ?? Work()) })
    for (reason, packets) in passed {
      let more = packets - min(packets, earlier.passed[reason] ?? 0)
      if more > 0 { difference.passed[reason] = more }
    }
    return difference
  }

  /// Fails where the figures would be the kernel's rather than the tier's.
  func check(_ network: Network, on host: String) throws(Failure) {
    guard share < Self.leastShare else { return }
    let reasons = passed.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map { "\($0.key) \($0.value)" }
    let left =
      reasons.isEmpty ? "it saw no packets" : "left to the kernel: \(reasons.joined(separator: ", "))"
    throw Failure(
      "measure", "\(network)",
      advice: "On \(host) the tier forwarded \(Int(share * 100)) % of its packets in a trial, and "
        + "\(Int(Self.leastShare * 100)) % make a result of it; \(left).")
  }
}
