// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import CBPFObjects
import LinuxSystem
import PacketHeaders

/// Reads the tier's maps from any thread, as the programs see them.
public final class TableReader: Sendable {
  private let fdb: BPFMap<culvert_fdb_key, culvert_fdb_entry>
  private let tunnels: BPFMap<UInt32, culvert_tunnel>
  private let segment: UInt32

  init(object: borrowing BPFObject, segment: UInt32) throws {
    fdb = try object.map("fdb")
    tunnels = try object.map("tunnels")
    self.segment = segment
  }

  /// The VTEP that frames to `mac` are encapsulated to; nil where they are not.
  public func remote(of mac: MACAddress) throws -> IPv4Address? {
    guard let entry = try fdb.lookup(culvert_fdb_key(mac, segment: segment)),
      entry.kind == UInt16(CULVERT_FDB_REMOTE.rawValue), let tunnel = try tunnels.lookup(entry.target)
    else { return nil }
    return IPv4Address(value: UInt32(bigEndian: tunnel.remote))
  }

  /// Bytes of kernel memory that the forwarding entries take.
  public func memory() throws -> Int { try fdb.memory() }
}
