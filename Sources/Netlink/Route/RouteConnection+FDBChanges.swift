// SPDX-License-Identifier: Apache-2.0
import CLibNL
import LinuxSystem
import PacketHeaders

/// Which of the two tables behind a device an FDB change is for.
public enum FDBTable: Sendable {
  /// NTF_MASTER: the bridge that the device is a port of.
  case bridge
  /// NTF_SELF: the device's own (a VXLAN device's destinations).
  case device
}

public enum TableChange: Sendable {
  /// Fails with EEXIST where there is one.
  case add
  /// One more destination.
  case append
  case replace
  /// Fails with ENOENT where there is none.
  case delete

  var flags: Int32 {
    switch self {
    case .add: NLM_F_CREATE | NLM_F_EXCL
    case .append: NLM_F_CREATE | NLM_F_APPEND
    case .replace: NLM_F_CREATE | NLM_F_REPLACE
    case .delete: 0
    }
  }

  var verb: String {
    switch self {
    case .add: "add"
    case .append: "append"
    case .replace: "replace"
    case .delete: "delete"
    }
  }
}

/// An FDB entry to write; what is nil is the device's default.
public struct FDBRequest: Sendable {
  public var link: Int32
  public var mac: MACAddress
  public var table: FDBTable
  public var destination: IPAddress?
  public var port: UInt16?
  public var vni: UInt32?
  public var sourceVNI: UInt32?
  public var outInterface: Int32?
  public var nextHopID: UInt32?
  public var vlan: UInt16?
  /// NUD_*; see the constants here.
  public var state: UInt16
  /// NTF_* beside the table's, such as 0x10 for externally learned.
  public var flags: UInt8 = 0

  /// NUD_NOARP and NUD_REACHABLE: does not age.
  public static let isStatic: UInt16 = 0x42
  /// NUD_REACHABLE: ages.
  public static let ages: UInt16 = 0x02
  /// NUD_PERMANENT: does not age, and on a bridge is the bridge's own address.
  public static let permanent: UInt16 = 0x80

  public init(
    link: Int32, mac: MACAddress, table: FDBTable, destination: IPAddress? = nil, state: UInt16 = isStatic
  ) {
    self.link = link
    self.mac = mac
    self.table = table
    self.destination = destination
    self.state = state
  }
}

extension RouteConnection {
  public func changeFDB(_ change: TableChange, _ entry: FDBRequest) throws(Failure) {
    let type = change == .delete ? RTM_DELNEIGH : RTM_NEWNEIGH
    try socket.transact(
      try Self.fdbRequest(type, flags: change.flags, entry), "\(change.verb) FDB entry",
      "\(entry.mac) of interface \(entry.link)")
  }

  static func fdbRequest(_ type: Int, flags: Int32, _ entry: FDBRequest) throws(Failure) -> Request {
    var request = try Request(type, flags: flags, capacity: 512)
    var header = ndmsg()
    header.ndm_family = UInt8(AF_BRIDGE)
    header.ndm_ifindex = entry.link
    header.ndm_state = entry.state
    header.ndm_flags = entry.flags | UInt8(entry.table == .bridge ? NTF_MASTER : NTF_SELF)
    request.append(header: header)
    request.put(NDA_LLADDR, entry.mac)
    if let destination = entry.destination { request.put(NDA_DST, destination) }
    if let vlan = entry.vlan { request.put(NDA_VLAN, vlan) }
    if let port = entry.port { request.put(NDA_PORT, port.bigEndian) }
    if let vni = entry.vni { request.put(NDA_VNI, vni) }
    if let vni = entry.sourceVNI { request.put(NDA_SRC_VNI, vni) }
    if let link = entry.outInterface { request.put(NDA_IFINDEX, link) }
    if let id = entry.nextHopID { request.put(NDA_NH_ID, id) }
    return request
  }

  /// `state`: NUD_*, 0x80 permanent by default.
  public func changeNeighbour(
    _ change: TableChange, link: Int32, _ address: IPAddress, mac: MACAddress?, state: UInt16 = 0x80
  ) throws(Failure) {
    var request = try Request(change == .delete ? RTM_DELNEIGH : RTM_NEWNEIGH, flags: change.flags)
    var header = ndmsg()
    header.ndm_family = address.family
    header.ndm_ifindex = link
    header.ndm_state = state
    request.append(header: header)
    request.put(NDA_DST, address)
    if let mac { request.put(NDA_LLADDR, mac) }
    try socket.transact(request, "\(change.verb) neighbour", "\(address.octets) of interface \(link)")
  }

  /// Has the kernel use an existing neighbour as a sent packet would (NTF_USE): a stale
  /// one is confirmed or found dead.
  public func useNeighbour(link: Int32, _ address: IPAddress) throws(Failure) {
    var request = try Request(RTM_NEWNEIGH)
    var header = ndmsg()
    header.ndm_family = address.family
    header.ndm_ifindex = link
    header.ndm_flags = UInt8(NTF_USE)
    request.append(header: header)
    request.put(NDA_DST, address)
    try socket.transact(request, "use neighbour", "\(address.octets) of interface \(link)")
  }
}

extension IPAddress {
  /// AF_INET or AF_INET6.
  var family: UInt8 {
    switch self {
    case .v4: UInt8(AF_INET)
    case .v6: UInt8(AF_INET6)
    }
  }
}
