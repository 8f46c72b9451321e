// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import CBPFObjects
import PacketHeaders

/// The maps of bpf/lib/maps.h whose keys and values hold outer addresses: an object is built for one IP.
protocol OuterMaps: AnyObject, Sendable {
  func set(_ resolution: TunnelResolution, of key: TunnelKey, uplink: UInt32, slot: UInt32) throws
  func clearTunnel(slot: UInt32) throws
  /// The VTEP of a tunnel.
  func remote(slot: UInt32) throws -> IPAddress?
  func add(_ key: VNIKey, _ domain: culvert_domain) throws
  func remove(_ key: VNIKey) throws
  func add(vtep: IPAddress, domain: UInt32) throws
  func remove(vtep: IPAddress, domain: UInt32) throws
}

protocol VNIMapKey { init(_ key: VNIKey) }
protocol VTEPMapKey { init(_ remote: IPAddress, domain: UInt32) }

final class MapsOfOuterAddresses<
  Tunnel: TunnelValue & BitwiseCopyable, VNI: VNIMapKey & BitwiseCopyable, VTEP: VTEPMapKey & BitwiseCopyable
>: OuterMaps {
  private let tunnels: BPFMap<UInt32, Tunnel>
  private let vnis: BPFMap<VNI, culvert_domain>
  private let vteps: BPFMap<VTEP, UInt32>

  init(_ object: borrowing BPFObject) throws {
    tunnels = try object.map("tunnels")
    vnis = try object.map("vnis")
    vteps = try object.map("vteps")
  }

  func set(_ resolution: TunnelResolution, of key: TunnelKey, uplink: UInt32, slot: UInt32) throws {
    try tunnels.update(slot, Tunnel(key, resolution, uplink: uplink))
  }
  func clearTunnel(slot: UInt32) throws { try tunnels.update(slot, Tunnel()) }
  func remote(slot: UInt32) throws -> IPAddress? { try tunnels.lookup(slot)?.remoteAddress }
  func add(_ key: VNIKey, _ domain: culvert_domain) throws { try vnis.update(VNI(key), domain) }
  func remove(_ key: VNIKey) throws { try vnis.delete(VNI(key)) }
  func add(vtep: IPAddress, domain: UInt32) throws { try vteps.update(VTEP(vtep, domain: domain), 1) }
  func remove(vtep: IPAddress, domain: UInt32) throws { try vteps.delete(VTEP(vtep, domain: domain)) }
}

typealias OuterMaps4 = MapsOfOuterAddresses<culvert_tunnel, culvert_vni_key, culvert_vtep_key>
typealias OuterMaps6 = MapsOfOuterAddresses<culvert_tunnel6, culvert_vni_key6, culvert_vtep_key6>

extension culvert_vni_key: VNIMapKey {
  init(_ key: VNIKey) {
    self.init()
    vni_be = (key.vni << 8).bigEndian
    udp_port = key.port.bigEndian
    if case .v4(let address) = key.local { local = address.bigEndian }
  }
}

extension culvert_vni_key6: VNIMapKey {
  init(_ key: VNIKey) {
    self.init()
    vni_be = (key.vni << 8).bigEndian
    udp_port = key.port.bigEndian
    if case .v6(let address) = key.local { local = address.words }
  }
}

extension culvert_vtep_key: VTEPMapKey {
  init(_ remote: IPAddress, domain: UInt32) {
    self.init()
    self.domain = domain
    if case .v4(let address) = remote { self.remote = address.bigEndian }
  }
}

extension culvert_vtep_key6: VTEPMapKey {
  init(_ remote: IPAddress, domain: UInt32) {
    self.init()
    self.domain = domain
    if case .v6(let address) = remote { self.remote = address.words }
  }
}
