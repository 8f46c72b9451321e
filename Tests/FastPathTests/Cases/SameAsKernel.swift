// SPDX-License-Identifier: Apache-2.0
import FastPath
import LinuxSystem
import Synchronization
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
/// - Parameter conditions: all but the tier that distinguishes one call at this place from another: what the kernel
///   makes of them does not depend on the tier, and is looked at once.
@discardableResult
func sameAsKernel<T: Equatable & Sendable>(
  _ tier: Tier, _ conditions: any Hashable & Sendable..., sourceLocation: SourceLocation = #_sourceLocation,
  _ what: (Side) throws -> T
) throws -> T {
  let place = "\(sourceLocation) \(conditions)"
  let kernel: T
  if let known = kernels.withLock({ $0[place] }) as? T {
    kernel = known
  } else {
    kernel = try what(.kernel)
    kernels.withLock { $0[place] = kernel }
  }
  let ours = try what(.tier(tier))
  #expect(ours == kernel, "\(tier.rawValue) and the kernel alone", sourceLocation: sourceLocation)
  return kernel
}

private let kernels = Mutex<[String: any Sendable]>([:])

extension Stats {
  /// Over all ports.
  var forwarded: Count {
    ports.flatMap(\.forwarded.values).reduce(into: Count()) {
      $0.packets += $1.packets
      $0.bytes += $1.bytes
    }
  }
}
