// SPDX-License-Identifier: Apache-2.0
import CLibNL
import LinuxSystem
import PacketHeaders

/// A VXLAN device's configuration; nil leaves the kernel's default, or what is.
public struct VXLANSettings: Sendable {
  public var vni: UInt32
  public var port: UInt16 = 4789
  public var portRange: ClosedRange<UInt16>?
  public var local: IPAddress?
  /// The default destination: a unicast VTEP or a multicast group.
  public var remote: IPAddress?
  /// The underlay device.
  public var link: Int32?
  public var ttl: UInt8?
  public var ttlInherit = false
  /// 1 inherits.
  public var tos: UInt8?
  /// VXLAN_DF_*: 0 unset, 1 set, 2 inherit.
  public var df: UInt8?
  public var learning: Bool?
  public var ageingSeconds: UInt32?
  public var udpChecksum: Bool?
  /// Over IPv6: sends and takes packets without an outer checksum.
  public var sendsZeroChecksum6: Bool?
  public var takesZeroChecksum6: Bool?
  public var flowLabel: UInt32?

  public init(vni: UInt32) { self.vni = vni }

  func put(into request: inout Request) {
    request.put(IFLA_VXLAN_ID, vni)
    request.put(IFLA_VXLAN_PORT, port.bigEndian)
    if let portRange {
      request.put(
        IFLA_VXLAN_PORT_RANGE,
        UInt32(portRange.lowerBound.bigEndian) | UInt32(portRange.upperBound.bigEndian) << 16)
    }
    if let local { request.put(local.isIPv6 ? IFLA_VXLAN_LOCAL6 : IFLA_VXLAN_LOCAL, local) }
    if let remote { request.put(remote.isIPv6 ? IFLA_VXLAN_GROUP6 : IFLA_VXLAN_GROUP, remote) }
    if let link { request.put(IFLA_VXLAN_LINK, link) }
    if let ttl { request.put(IFLA_VXLAN_TTL, ttl) }
    if ttlInherit { request.put(IFLA_VXLAN_TTL_INHERIT, bytes: []) }
    if let tos { request.put(IFLA_VXLAN_TOS, tos) }
    if let df { request.put(IFLA_VXLAN_DF, df) }
    if let learning { request.put(IFLA_VXLAN_LEARNING, learning) }
    if let ageingSeconds { request.put(IFLA_VXLAN_AGEING, ageingSeconds) }
    if let udpChecksum { request.put(IFLA_VXLAN_UDP_CSUM, udpChecksum) }
    if let sendsZeroChecksum6 { request.put(IFLA_VXLAN_UDP_ZERO_CSUM6_TX, sendsZeroChecksum6) }
    if let takesZeroChecksum6 { request.put(IFLA_VXLAN_UDP_ZERO_CSUM6_RX, takesZeroChecksum6) }
    if let flowLabel { request.put(IFLA_VXLAN_LABEL, flowLabel.bigEndian) }
  }
}

extension RouteConnection {
  public func createVXLAN(_ link: LinkSettings, _ vxlan: VXLANSettings) throws(Failure) {
    try create(link, kind: "vxlan") { request throws(Failure) in vxlan.put(into: &request) }
  }
}
