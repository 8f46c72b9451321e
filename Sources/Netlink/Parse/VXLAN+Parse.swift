// SPDX-License-Identifier: Apache-2.0
import CLibNL
import LinuxSystem
import PacketHeaders

extension VXLANAttributes {
  /// IFLA_INFO_DATA of kind "vxlan".
  init(_ attributes: Attributes) throws(Failure) {
    self.init(
      vni: 0, port: 0, isIPv6: false, ttl: 0, ttlInherit: false, tos: 0, df: 0, learning: false,
      ageingSeconds: 0, udpChecksum: false, extensions: [])
    var sendsZeroChecksum6 = false
    try attributes.forEach { attribute throws(Failure) in
      switch attribute.type {
      case IFLA_VXLAN_ID: vni = try attribute.integer()
      case IFLA_VXLAN_PORT: port = try attribute.bigEndian()
      case IFLA_VXLAN_PORT_RANGE: portRange = try Self.portRange(attribute)
      case IFLA_VXLAN_LOCAL, IFLA_VXLAN_LOCAL6: local = try attribute.address()
      case IFLA_VXLAN_GROUP, IFLA_VXLAN_GROUP6: group = try attribute.address()
      case IFLA_VXLAN_LINK: link = try attribute.integer()
      case IFLA_VXLAN_TTL: ttl = try attribute.integer()
      case IFLA_VXLAN_TTL_INHERIT: ttlInherit = try attribute.flag()
      case IFLA_VXLAN_TOS: tos = try attribute.integer()
      case IFLA_VXLAN_DF: df = try attribute.integer()
      case IFLA_VXLAN_LEARNING: learning = try attribute.flag()
      case IFLA_VXLAN_AGEING: ageingSeconds = try attribute.integer()
      case IFLA_VXLAN_UDP_CSUM: udpChecksum = try attribute.flag()
      case IFLA_VXLAN_UDP_ZERO_CSUM6_TX: sendsZeroChecksum6 = try attribute.flag()
      case IFLA_VXLAN_UDP_ZERO_CSUM6_RX: takesZeroChecksum = try attribute.flag()
      case IFLA_VXLAN_LABEL: flowLabel = try attribute.bigEndian()
      default: if let name = try Self.extensionName(attribute) { extensions.append(name) }
      }
    }
    isIPv6 = [local, group].contains { $0?.isIPv6 == true }
    if isIPv6 { udpChecksum = !sendsZeroChecksum6 }
    extensions.sort()
  }

  /// struct ifla_vxlan_port_range, network order; 0–0 is "as the host likes".
  private static func portRange(_ attribute: Attribute) throws(Failure) -> ClosedRange<UInt16>? {
    let low = UInt16(bigEndian: try attribute.payload.read(at: 0))
    let high = UInt16(bigEndian: try attribute.payload.read(at: 2))
    guard low != 0 || high != 0 else { return nil }
    guard low <= high else { throw .malformed("port range \(low)–\(high)") }
    return low...high
  }

  /// The name of an extension that is on. Flag attributes are there or not; others hold 0 or 1.
  private static func extensionName(_ attribute: Attribute) throws(Failure) -> String? {
    switch attribute.type {
    case IFLA_VXLAN_GBP: "gbp"
    case IFLA_VXLAN_GPE: "gpe"
    case IFLA_VXLAN_COLLECT_METADATA: try attribute.flag() ? "collect-metadata" : nil
    case IFLA_VXLAN_REMCSUM_TX: try attribute.flag() ? "remcsum-tx" : nil
    case IFLA_VXLAN_REMCSUM_RX: try attribute.flag() ? "remcsum-rx" : nil
    case IFLA_VXLAN_PROXY: try attribute.flag() ? "proxy" : nil
    case IFLA_VXLAN_RSC: try attribute.flag() ? "rsc" : nil
    case IFLA_VXLAN_L2MISS: try attribute.flag() ? "l2miss" : nil
    case IFLA_VXLAN_L3MISS: try attribute.flag() ? "l3miss" : nil
    case IFLA_VXLAN_VNIFILTER: try attribute.flag() ? "vnifilter" : nil
    case IFLA_VXLAN_LABEL_POLICY: try attribute.integer(UInt32.self) != 0 ? "label-policy" : nil
    default: nil
    }
  }
}
