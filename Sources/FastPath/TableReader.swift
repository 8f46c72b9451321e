// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import CBPFObjects
import LinuxSystem
import PacketHeaders

/// Reads the tier's maps from any thread, as the programs see them.
public final class TableReader: Sendable {
  private let fdb: ForwardingMapView
  private let outer: any OuterMaps
  private let domain: UInt32

  init(_ fdb: ForwardingMapView, _ outer: any OuterMaps, domain: UInt32) {
    self.fdb = fdb
    self.outer = outer
    self.domain = domain
  }

  /// The VTEP that frames to `mac` are encapsulated to; nil where they are not.
  public func remote(of mac: MACAddress) throws -> IPAddress? {
    guard let nexthop = fdb.nexthop(of: mac.forwardingKey(domain: domain)),
      culvert_nexthop_kind(nexthop) == CULVERT_FDB_REMOTE.rawValue
    else { return nil }
    return try outer.remote(slot: culvert_nexthop_target(nexthop))
  }

  /// Bytes of kernel memory that the forwarding entries take.
  public var memory: Int { fdb.byteCount }
}
