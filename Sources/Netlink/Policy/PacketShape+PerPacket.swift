// SPDX-License-Identifier: Apache-2.0

/// What rules may look at that need not be the same for each packet of a connection in one direction; nil for what is.
extension PacketShape {
  /// Of headers, by nftables' bases: link, network, transport.
  func perPacket(_ base: UInt32, _ offset: Int, _ count: Int) -> String? {
    let fields: [(Range<Int>, String?)]
    switch (base, isIPv4) {
    case (0, _): fields = [(0..<14, nil)]
    case (1, true):
      fields = [
        (0..<1, nil), (1..<2, "DSCP or ECN"), (2..<4, "the length"), (4..<6, "the identification"),
        (6..<8, "the fragment flags"), (8..<9, "the TTL"), (9..<10, nil), (10..<12, "the checksum"), (12..<20, nil),
      ]
    case (1, false):
      fields = [
        (0..<4, "DSCP, ECN or flow label"), (4..<6, "the length"), (6..<7, nil), (7..<8, "the hop limit"),
        (8..<40, nil),
      ]
    case (2, _):
      fields = [(0..<4, nil), (4..<20, protocolNumber == 6 ? "the TCP header" : "the transport header")]
    default: fields = []
    }
    guard offset >= 0, let last = fields.last, offset + count <= last.0.upperBound else { return "the payload" }
    return fields.lazy.filter { $0.0.overlaps(offset..<offset + count) }.compactMap(\.1).first
  }

  /// NFT_META_*
  static func perPacket(meta key: UInt32) -> String? {
    switch key {
    case 0: "the length"
    case 2: "the priority"
    case 12, 14: "what the kernel notes of packets"
    case 20: "the CPU"
    case 24: "numbers made for each packet"
    case 30...32: "the time"
    // Devices, protocols, marks, sockets and what comes of the route.
    case 1, 3...11, 13, 15...19, 21...23, 25...29, 33...34: nil
    default: "something that is not understood"
    }
  }

  /// Matches of iptables.
  static func perPacket(match name: String, _ info: [UInt8]) -> String? {
    switch name {
    // XT_CONNTRACK_EXPIRES
    case "conntrack" where info.count >= 148: info[146] & 0x80 != 0 ? "a connection's expiration" : nil
    // Of the options or flags; those of ports alone are known or a connection's.
    case "tcp" where info.count >= 12: info[8] != 0 || info[9] != 0 ? "the TCP header" : nil
    case "addrtype", "cgroup", "comment", "connlabel", "connmark", "conntrack", "devgroup", "helper", "iprange", "mac",
      "mark", "multiport", "owner", "physdev", "pkttype", "policy", "realm", "rpfilter", "set", "socket", "sctp",
      "state", "tcp", "udp": nil
    case "limit", "hashlimit": "a limit"
    case "connlimit": "a limit of connections"
    case "quota": "a quota"
    case "connbytes": "a connection's bytes"
    default: "match \(name)"
    }
  }

  /// NFT_FIB_*: the device by which a packet back would leave is `input`, where that was looked at.
  func route(_ result: UInt32, _ flags: UInt32) -> PacketBits {
    // NFT_FIB_RESULT_ADDRTYPE of NFTA_FIB_F_SADDR or _DADDR: RTN_LOCAL
    if result == 3, flags & 0b11 == 0b01 ? sourceIsLocal : flags & 0b11 == 0b10 && destinationIsLocal {
      return PacketBits([2, 0, 0, 0])
    }
    // NFTA_FIB_F_SADDR and _IIF, not _DADDR and _OIF.
    guard returnsByInput, flags & 0b11011 == 0b01001 else { return PacketBits(unknown: 16) }
    // NFTA_FIB_F_PRESENT
    if flags & 0x20 != 0 { return PacketBits([1, 0, 0, 0]) }
    return switch result {
    case 1: input.index
    case 2: input.name
    default: PacketBits(unknown: 16)
    }
  }
}
