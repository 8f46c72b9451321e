// SPDX-License-Identifier: Apache-2.0
import CLibNL
import LinuxSystem

extension Link {
  /// RTM_NEWLINK's or RTM_DELLINK's payload: struct ifinfomsg and IFLA_*.
  init(parsing payload: UnsafeRawBufferPointer) throws(Failure) {
    let header = try payload.read(ifinfomsg.self, at: 0)
    self.init(
      index: header.ifi_index, name: "", flags: header.ifi_flags, mtu: 0, receiveQueues: 1,
      transmitQueues: 1, xdpAttached: 0)
    var info: LinkInformation?
    try payload.attributes(after: MemoryLayout<ifinfomsg>.size).forEach { attribute throws(Failure) in
      switch attribute.type {
      case IFLA_IFNAME: name = attribute.string
      case IFLA_MTU: mtu = try attribute.integer()
      case IFLA_ADDRESS: mac = attribute.payload.count == 6 ? try attribute.mac() : nil
      case IFLA_MASTER: master = try attribute.integer()
      case IFLA_LINK: peer = try attribute.integer()
      case IFLA_LINK_NETNSID: peerNamespaceID = try attribute.integer()
      case IFLA_NUM_RX_QUEUES: receiveQueues = try attribute.integer()
      case IFLA_NUM_TX_QUEUES: transmitQueues = try attribute.integer()
      case IFLA_QDISC: qdisc = attribute.string
      case IFLA_XDP: try readXDP(attribute.nested)
      case IFLA_LINKINFO: info = try LinkInformation(attribute.nested)
      default: break
      }
    }
    guard let info else { return }
    kind = info.kind
    // The data's meaning depends on the kind, whichever comes first in the message.
    switch info.kind {
    case "bridge": bridge = try info.data.map { data throws(Failure) in try BridgeAttributes(data) }
    case "vxlan": vxlan = try info.data.map { data throws(Failure) in try VXLANAttributes(data) }
    default: break
    }
    if info.portKind == "bridge" {
      bridgePort = try info.portData.map { data throws(Failure) in try BridgePortAttributes(data) }
    }
  }

  private mutating func readXDP(_ attributes: Attributes) throws(Failure) {
    try attributes.forEach { attribute throws(Failure) in
      switch attribute.type {
      case IFLA_XDP_ATTACHED: xdpAttached = try attribute.integer()
      case IFLA_XDP_PROG_ID: xdpProgramID = try attribute.integer()
      default: break
      }
    }
  }
}

/// IFLA_LINKINFO.
private struct LinkInformation {
  var kind: String?
  var data: Attributes?
  var portKind: String?
  var portData: Attributes?

  init(_ attributes: Attributes) throws(Failure) {
    try attributes.forEach { attribute throws(Failure) in
      switch attribute.type {
      case IFLA_INFO_KIND: kind = attribute.string
      case IFLA_INFO_DATA: data = attribute.nested
      case IFLA_INFO_SLAVE_KIND: portKind = attribute.string
      case IFLA_INFO_SLAVE_DATA: portData = attribute.nested
      default: break
      }
    }
  }
}
