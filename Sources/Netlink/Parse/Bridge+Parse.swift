// SPDX-License-Identifier: Apache-2.0
import CLibNL
import LinuxSystem

/// The kernel's USER_HZ, in which bridges count time towards user space.
let ticksPerSecond = 100.0

extension BridgeAttributes {
  /// IFLA_INFO_DATA of kind "bridge".
  init(_ attributes: Attributes) throws(Failure) {
    self.init(
      ageingSeconds: 300, vlanFiltering: false, stpState: 0, nfCallIPTables: false,
      nfCallIP6Tables: false, nfCallARPTables: false)
    try attributes.forEach { attribute throws(Failure) in
      switch attribute.type {
      case IFLA_BR_AGEING_TIME: ageingSeconds = Double(try attribute.integer(UInt32.self)) / ticksPerSecond
      case IFLA_BR_VLAN_FILTERING: vlanFiltering = try attribute.flag()
      case IFLA_BR_STP_STATE: stpState = try attribute.integer()
      case IFLA_BR_NF_CALL_IPTABLES: nfCallIPTables = try attribute.flag()
      case IFLA_BR_NF_CALL_IP6TABLES: nfCallIP6Tables = try attribute.flag()
      case IFLA_BR_NF_CALL_ARPTABLES: nfCallARPTables = try attribute.flag()
      default: break
      }
    }
  }
}

extension BridgePortAttributes {
  /// IFLA_INFO_SLAVE_DATA of kind "bridge", or IFLA_PROTINFO of a message of AF_BRIDGE.
  init(_ attributes: Attributes) throws(Failure) {
    self.init(
      state: 0, learning: true, isolated: false, locked: false, hairpin: false,
      neighbourSuppression: false, vlanTunnel: false)
    try attributes.forEach { attribute throws(Failure) in
      switch attribute.type {
      case IFLA_BRPORT_STATE: state = try attribute.integer()
      case IFLA_BRPORT_LEARNING: learning = try attribute.flag()
      case IFLA_BRPORT_ISOLATED: isolated = try attribute.flag()
      case IFLA_BRPORT_LOCKED: locked = try attribute.flag()
      case IFLA_BRPORT_MODE: hairpin = try attribute.flag()
      case IFLA_BRPORT_NEIGH_SUPPRESS: neighbourSuppression = try attribute.flag()
      case IFLA_BRPORT_VLAN_TUNNEL: vlanTunnel = try attribute.flag()
      case IFLA_BRPORT_BACKUP_PORT: hasBackup = true
      default: break
      }
    }
  }
}
