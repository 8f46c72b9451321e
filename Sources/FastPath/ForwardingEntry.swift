// SPDX-License-Identifier: Apache-2.0
import CBPFObjects
import PacketHeaders

/// Where the fast path sends a MAC of the domain, or that it must not.
public struct ForwardingEntry: Hashable, Sendable {
  public enum Target: Hashable, Sendable {
    /// A container's port on this host.
    case local(slot: UInt32)
    /// A remote VTEP.
    case remote(tunnel: UInt32)
    /// The kernel knows it, and it is the kernel's to deliver: why, as packets are counted.
    case kernel(Verdict)
  }
  public var target: Target
  /// How often one packet of this source must reach the kernel so that its
  /// entries do not age; 0 where they do not.
  public var refreshMilliseconds: UInt32

  public init(target: Target, refreshMilliseconds: UInt32 = 0) {
    self.target = target
    self.refreshMilliseconds = refreshMilliseconds
  }
}

extension ForwardingEntry {
  /// As map `fdb` has it.
  var nexthop: UInt32 {
    let ticks = (UInt64(refreshMilliseconds) * 1_000_000) >> CULVERT_TICK_SHIFT
    // Rounded down to eight bits that count: rather too often than too rarely.
    let exponent = min(15, max(0, ticks.bitWidth - ticks.leadingZeroBitCount - 8))
    let mantissa = refreshMilliseconds == 0 ? 0 : max(1, min(255, UInt32(ticks >> exponent)))
    let (kind, target): (culvert_fdb_kind, UInt32) =
      switch target {
      case .local(let slot): (CULVERT_FDB_LOCAL, slot)
      case .remote(let tunnel): (CULVERT_FDB_REMOTE, tunnel)
      case .kernel(let reason): (CULVERT_FDB_KERNEL, reason.rawValue)
      }
    return culvert_fdb_nexthop(kind.rawValue, target, mantissa, UInt32(exponent))
  }
}

extension MACAddress {
  /// Its entry's key in map `fdb`.
  func forwardingKey(domain: UInt32) -> UInt64 {
    culvert_fdb_key(domain, UInt32(value >> 16).bigEndian, UInt16(truncatingIfNeeded: value).bigEndian)
  }
}
