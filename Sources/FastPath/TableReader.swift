// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import CBPFObjects
import LinuxSystem
import PacketHeaders

/// Reads the tier's maps from any thread, as the programs see them.
public final class TableReader: Sendable {
  private let fdb: ForwardingMapView
  private let tunnels: BPFMap<UInt32, culvert_tunnel>
  private let domain: UInt32

  init(_ fdb: ForwardingMapView, object: borrowing BPFObject, domain: UInt32) throws {
    self.fdb = fdb
    tunnels = try object.map("tunnels")
    self.domain = domain
  }

  /// The VTEP that frames to `mac` are encapsulated to; nil where they are not.
  public func remote(of mac: MACAddress) throws -> IPv4Address? {
    guard let nexthop = fdb.nexthop(of: mac.forwardingKey(domain: domain)),
      culvert_nexthop_kind(nexthop) == CULVERT_FDB_REMOTE.rawValue,
      let tunnel = try tunnels.lookup(culvert_nexthop_target(nexthop))
    else { return nil }
    return IPv4Address(value: UInt32(bigEndian: tunnel.remote))
  }

  /// Bytes of kernel memory that the forwarding entries take.
  public var memory: Int { fdb.byteCount }
}
