// SPDX-License-Identifier: Apache-2.0
import CBPFObjects
import PacketHeaders

/// Where the fast path sends a MAC of the segment, or that it must not.
public struct ForwardingEntry: Hashable, Sendable {
  public enum Target: Hashable, Sendable {
    /// A container's port on this host.
    case local(slot: UInt32)
    /// A remote VTEP.
    case remote(tunnel: UInt32)
    /// The kernel knows it, and it is the kernel's to deliver.
    case kernel
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

extension culvert_fdb_key {
  init(_ mac: MACAddress, segment: UInt32) {
    self.init()
    self.segment = segment
    setOctets(&self.mac, mac)
  }
}

extension culvert_fdb_entry {
  /// `refreshedAt` is on bpf_ktime_get_coarse_ns's clock; 0 asks for a refresh at once.
  init(_ entry: ForwardingEntry, refreshedAt: UInt64) {
    self.init()
    refreshed_ns = refreshedAt
    refresh_ms = entry.refreshMilliseconds
    switch entry.target {
    case .local(let slot):
      kind = UInt16(CULVERT_FDB_LOCAL.rawValue)
      target = slot
    case .remote(let tunnel):
      kind = UInt16(CULVERT_FDB_REMOTE.rawValue)
      target = tunnel
    case .kernel:
      kind = UInt16(CULVERT_FDB_KERNEL.rawValue)
    }
  }
}
