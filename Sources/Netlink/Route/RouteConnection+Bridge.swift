// SPDX-License-Identifier: Apache-2.0
import CLibNL
import LinuxSystem
import PacketHeaders

/// A bridge's configuration; nil leaves the kernel's default, or what is.
public struct BridgeSettings: Sendable {
  public var ageingSeconds: Double?
  public var vlanFiltering: Bool?
  public var multicastSnooping: Bool?
  public var stp: Bool?

  public init(
    ageingSeconds: Double? = nil, vlanFiltering: Bool? = nil, multicastSnooping: Bool? = nil,
    stp: Bool? = nil
  ) {
    self.ageingSeconds = ageingSeconds
    self.vlanFiltering = vlanFiltering
    self.multicastSnooping = multicastSnooping
    self.stp = stp
  }

  func put(into request: inout Request) {
    if let ageingSeconds { request.put(IFLA_BR_AGEING_TIME, UInt32(ageingSeconds * ticksPerSecond)) }
    if let vlanFiltering { request.put(IFLA_BR_VLAN_FILTERING, vlanFiltering) }
    if let multicastSnooping { request.put(IFLA_BR_MCAST_SNOOPING, multicastSnooping) }
    if let stp { request.put(IFLA_BR_STP_STATE, UInt32(stp ? 1 : 0)) }
  }
}

/// What of a bridge's port to change; nil leaves what is.
public struct BridgePortSettings: Sendable {
  public var state: UInt8?
  public var learning: Bool?
  public var isolated: Bool?
  public var hairpin: Bool?
  public var neighbourSuppression: Bool?
  public init() {}

  func put(into request: inout Request) {
    if let state { request.put(IFLA_BRPORT_STATE, state) }
    if let learning { request.put(IFLA_BRPORT_LEARNING, learning) }
    if let isolated { request.put(IFLA_BRPORT_ISOLATED, isolated) }
    if let hairpin { request.put(IFLA_BRPORT_MODE, hairpin) }
    if let neighbourSuppression { request.put(IFLA_BRPORT_NEIGH_SUPPRESS, neighbourSuppression) }
  }
}

extension RouteConnection {
  public func createBridge(_ link: LinkSettings, _ bridge: BridgeSettings = .init()) throws(Failure) {
    try create(link, kind: "bridge") { request throws(Failure) in bridge.put(into: &request) }
  }

  public func changeBridge(_ link: Int32, _ bridge: BridgeSettings) throws(Failure) {
    try changeData(link, kind: "bridge") { request throws(Failure) in bridge.put(into: &request) }
  }

  public func changeBridgePort(_ link: Int32, _ port: BridgePortSettings) throws(Failure) {
    var request = try Request(RTM_SETLINK)
    var header = ifinfomsg()
    header.ifi_family = UInt8(AF_BRIDGE)
    header.ifi_index = link
    request.append(header: header)
    try request.nest(IFLA_PROTINFO) { request throws(Failure) in port.put(into: &request) }
    try socket.transact(request, "change bridge port", "interface \(link)")
  }

  func changeData(
    _ link: Int32, kind: String, _ data: (inout Request) throws(Failure) -> Void
  ) throws(Failure) {
    var request = try Request(RTM_NEWLINK)
    var header = ifinfomsg()
    header.ifi_index = link
    request.append(header: header)
    try request.nest(IFLA_LINKINFO) { request throws(Failure) in
      request.put(IFLA_INFO_KIND, string: kind)
      try request.nest(IFLA_INFO_DATA, data)
    }
    try socket.transact(request, "change \(kind)", "interface \(link)")
  }
}
