// SPDX-License-Identifier: Apache-2.0
import CLibNL
import LinuxSystem
import PacketHeaders

extension FDBEntry {
  /// RTM_NEWNEIGH's or RTM_DELNEIGH's payload of family AF_BRIDGE: struct ndmsg and NDA_*.
  init(parsing payload: UnsafeRawBufferPointer) throws(Failure) {
    let header = try payload.read(ndmsg.self, at: 0)
    self.init(
      link: header.ndm_ifindex, mac: .zero, state: header.ndm_state, flags: header.ndm_flags,
      extendedFlags: 0)
    try payload.attributes(after: MemoryLayout<ndmsg>.size).forEach { attribute throws(Failure) in
      switch attribute.type {
      // A device's address list may hold addresses of other lengths than Ethernet's.
      case NDA_LLADDR: if attribute.payload.count == 6 { mac = try attribute.mac() }
      case NDA_DST: destination = try attribute.address()
      case NDA_MASTER: master = try attribute.integer()
      case NDA_VLAN: vlan = try attribute.integer()
      case NDA_PORT: port = try attribute.bigEndian()
      case NDA_VNI: vni = try attribute.integer()
      case NDA_SRC_VNI: sourceVNI = try attribute.integer()
      case NDA_IFINDEX: outInterface = try attribute.integer()
      case NDA_NH_ID: nextHopID = try attribute.integer()
      case NDA_FLAGS_EXT: extendedFlags = try attribute.integer()
      default: break
      }
    }
  }
}

extension Neighbour {
  /// The same of family AF_INET or AF_INET6; nil where the message names no address.
  init?(parsing payload: UnsafeRawBufferPointer) throws(Failure) {
    let header = try payload.read(ndmsg.self, at: 0)
    var destination: IPAddress?
    var mac: MACAddress?
    try payload.attributes(after: MemoryLayout<ndmsg>.size).forEach { attribute throws(Failure) in
      switch attribute.type {
      case NDA_DST: destination = try attribute.address()
      case NDA_LLADDR: if attribute.payload.count == 6 { mac = try attribute.mac() }
      default: break
      }
    }
    guard let destination else { return nil }
    self.init(link: header.ndm_ifindex, address: destination, mac: mac, state: header.ndm_state)
  }
}
