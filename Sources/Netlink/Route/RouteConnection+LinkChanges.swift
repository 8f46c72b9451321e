// SPDX-License-Identifier: Apache-2.0
import CLibNL
import LinuxSystem
import PacketHeaders

/// An interface to create: what all kinds have in common.
public struct LinkSettings: Sendable {
  public var name: String
  public var mtu: UInt32?
  public var mac: MACAddress?
  /// Descriptor of the namespace to create it in; nil is the connection's own.
  public var namespace: Int32?
  public var transmitQueues: UInt32?
  public var receiveQueues: UInt32?

  public init(
    _ name: String, mtu: UInt32? = nil, mac: MACAddress? = nil, namespace: Int32? = nil,
    transmitQueues: UInt32? = nil, receiveQueues: UInt32? = nil
  ) {
    self.name = name
    self.mtu = mtu
    self.mac = mac
    self.namespace = namespace
    self.transmitQueues = transmitQueues
    self.receiveQueues = receiveQueues
  }

  func put(into request: inout Request) {
    request.put(IFLA_IFNAME, string: name)
    if let mtu { request.put(IFLA_MTU, mtu) }
    if let mac { request.put(IFLA_ADDRESS, mac) }
    if let namespace { request.put(IFLA_NET_NS_FD, namespace) }
    if let transmitQueues { request.put(IFLA_NUM_TX_QUEUES, transmitQueues) }
    if let receiveQueues { request.put(IFLA_NUM_RX_QUEUES, receiveQueues) }
  }
}

extension RouteConnection {
  /// Two virtual Ethernet interfaces, each the other's wire (veth(4)).
  public func createVeth(_ one: LinkSettings, _ other: LinkSettings) throws(Failure) {
    try create(one, kind: "veth") { request throws(Failure) in
      try request.nest(Int(VETH_INFO_PEER)) { request throws(Failure) in
        request.append(header: ifinfomsg())
        other.put(into: &request)
      }
    }
  }

  func create(
    _ settings: LinkSettings, kind: String, data: (inout Request) throws(Failure) -> Void
  ) throws(Failure) {
    var request = try Request(RTM_NEWLINK, flags: NLM_F_CREATE | NLM_F_EXCL)
    request.append(header: ifinfomsg())
    settings.put(into: &request)
    try request.nest(IFLA_LINKINFO) { request throws(Failure) in
      request.put(IFLA_INFO_KIND, string: kind)
      try request.nest(IFLA_INFO_DATA, data)
    }
    try socket.transact(request, "create \(kind)", settings.name)
  }

  public func setUp(_ link: Int32, _ isUp: Bool = true) throws(Failure) {
    var header = ifinfomsg()
    header.ifi_index = link
    header.ifi_flags = isUp ? 1 : 0
    header.ifi_change = 1
    try change(header, isUp ? "set up" : "set down")
  }

  public func setMTU(_ link: Int32, _ mtu: UInt32) throws(Failure) {
    try change(link, "set MTU \(mtu) of") { $0.put(IFLA_MTU, mtu) }
  }

  public func setMAC(_ link: Int32, _ mac: MACAddress) throws(Failure) {
    try change(link, "set address \(mac) of") { $0.put(IFLA_ADDRESS, mac) }
  }

  /// Makes `link` a port of `master`, or with nil of none.
  public func setMaster(_ link: Int32, _ master: Int32?) throws(Failure) {
    try change(link, "set the bridge of") { $0.put(IFLA_MASTER, master ?? 0) }
  }

  public func setName(_ link: Int32, _ name: String) throws(Failure) {
    try change(link, "name \(name)") { $0.put(IFLA_IFNAME, string: name) }
  }

  /// Moves `link` to the namespace that `descriptor` holds.
  public func move(_ link: Int32, toNamespace descriptor: Int32) throws(Failure) {
    try change(link, "move to another namespace") { $0.put(IFLA_NET_NS_FD, descriptor) }
  }

  public func delete(link: Int32) throws(Failure) {
    var request = try Request(RTM_DELLINK)
    var header = ifinfomsg()
    header.ifi_index = link
    request.append(header: header)
    try socket.transact(request, "delete", "interface \(link)")
  }

  private func change(
    _ link: Int32, _ operation: String, _ body: (inout Request) -> Void
  ) throws(Failure) {
    var header = ifinfomsg()
    header.ifi_index = link
    try change(header, operation, body)
  }

  private func change(
    _ header: ifinfomsg, _ operation: String, _ body: (inout Request) -> Void = { _ in }
  ) throws(Failure) {
    var request = try Request(RTM_NEWLINK)
    request.append(header: header)
    body(&request)
    try socket.transact(request, operation, "interface \(header.ifi_index)")
  }
}
