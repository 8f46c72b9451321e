// SPDX-License-Identifier: Apache-2.0
import FastPath
import LinuxSystem
import TestSupport
import Testing

/// Both sides of a case: what the kernel alone makes of it, and what a tier on host a does.
enum Side: Sendable, CustomTestStringConvertible {
  case kernel
  case tier(Tier)

  var testDescription: String {
    switch self {
    case .kernel: "kernel"
    case .tier(let tier): tier.rawValue
    }
  }

  /// Serves host a's overlay; nil by the kernel alone.
  func start(_ overlay: TestOverlay, _ change: (inout FastPathOptions) -> Void = { _ in }) throws
    -> FastPathService?
  {
    guard case .tier(let tier) = self else { return nil }
    return try overlay.start("a") {
      $0.tier = tier
      change(&$0)
    }
  }
}

/// `what` by the kernel alone and with a tier: the same. Returns the kernel's, to say what that should be.
@discardableResult
func sameAsKernel<T: Equatable>(
  _ tier: Tier, sourceLocation: SourceLocation = #_sourceLocation, _ what: (Side) throws -> T
) throws -> T {
  let kernel = try what(.kernel)
  let ours = try what(.tier(tier))
  #expect(ours == kernel, "\(tier.rawValue) and the kernel alone", sourceLocation: sourceLocation)
  return kernel
}

/// `body`, which fails today in the tiers of `tiers`: `why` names the case.
func known(_ why: Comment, in tiers: Set<Tier>, _ tier: Tier, _ body: () throws -> Void) rethrows {
  guard tiers.contains(tier) else { return try body() }
  withKnownIssue(why, isIntermittent: true) { try body() }
}

extension Stats {
  /// Packets that the fast path forwarded, over all ports.
  var forwarded: UInt64 { ports.reduce(0) { $0 + $1.forwarded.values.reduce(0) { $0 + $1.packets } } }
}
