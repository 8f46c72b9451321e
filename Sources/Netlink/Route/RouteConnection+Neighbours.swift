// SPDX-License-Identifier: Apache-2.0
import CLibNL
import LinuxSystem
import PacketHeaders

extension RouteConnection {
  /// Every FDB entry of every device: bridges', VXLAN devices' own, and (as the
  /// kernel lists them too) the address lists of plain devices, which have no master.
  public func fdb() throws(Failure) -> [FDBEntry] {
    try fdb(link: 0, bridge: nil, "FDB")
  }

  /// Entries of one device: what its bridge has behind it, and its own.
  public func fdb(of link: Int32) throws(Failure) -> [FDBEntry] {
    try fdb(link: link, bridge: nil, "FDB of interface \(link)")
  }

  /// Entries of a bridge and of its ports.
  public func fdb(bridge: Int32) throws(Failure) -> [FDBEntry] {
    try fdb(link: 0, bridge: bridge, "FDB of bridge \(bridge)")
  }

  private func fdb(link: Int32, bridge: Int32?, _ subject: String) throws(Failure) -> [FDBEntry] {
    var request = try Request(RTM_GETNEIGH)
    var header = ndmsg()
    header.ndm_family = UInt8(AF_BRIDGE)
    header.ndm_ifindex = link
    request.append(header: header)
    if let bridge { request.put(NDA_MASTER, UInt32(bitPattern: bridge)) }
    return try collect(request, subject, type: RTM_NEWNEIGH) { payload throws(Failure) in
      try FDBEntry(parsing: payload)
    }
  }

  /// IPv4 and IPv6 neighbours, without proxy entries.
  public func neighbours() throws(Failure) -> [Neighbour] {
    var all: [Neighbour] = []
    for family in [AF_INET, AF_INET6] {
      var request = try Request(RTM_GETNEIGH)
      var header = ndmsg()
      header.ndm_family = UInt8(family)
      request.append(header: header)
      all += try collect(request, "neighbours", type: RTM_NEWNEIGH) { payload throws(Failure) in
        try Neighbour(parsing: payload)
      }
    }
    return all
  }
}
