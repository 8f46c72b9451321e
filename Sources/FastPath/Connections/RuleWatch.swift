// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import Netlink

/// Says within a second that rules of netfilter changed in a namespace. nftables (and iptables over it) announces
/// changes; legacy iptables does not, so that its tables are looked at once a second, where there are any.
///
/// Not thread-safe. Wait for `descriptors`, call `handle()` when one is readable and `tick(now:)` when `deadline` has passed;
/// either says whether `generation` went up, whereupon what was decided by the rules must be decided again.
public final class RuleWatch {
  /// Counts the changes seen since the start.
  public private(set) var generation: UInt64 = 0
  private let monitor: Box<NetfilterMonitor>?
  private var legacy: LegacyTables
  private var nextLook: UInt64 = 0

  /// Between two looks at legacy tables.
  static let interval: UInt64 = 1_000_000_000

  public init(in namespace: borrowing NetworkNamespace) throws {
    monitor = try namespace.run { try NetfilterMonitor.open() }
    legacy = try LegacyTables(in: namespace)
    _ = try legacy.haveChanged()
  }

  /// None where the kernel has no nftables.
  public var descriptors: [Int32] { monitor.map { [$0.value.descriptor] } ?? [] }

  /// CLOCK_MONOTONIC ns of the next `tick`.
  public var deadline: UInt64 { nextLook }

  /// Reads what nftables announced.
  @discardableResult
  public func handle() -> Bool {
    guard let monitor, monitor.value.drain() else { return false }
    generation += 1
    return true
  }

  /// Looks at legacy tables once their time has come.
  @discardableResult
  public func tick(now: UInt64) throws -> Bool {
    guard now >= nextLook else { return false }
    nextLook = now + Self.interval
    guard try legacy.haveChanged() else { return false }
    generation += 1
    return true
  }
}
