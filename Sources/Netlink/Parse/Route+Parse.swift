// SPDX-License-Identifier: Apache-2.0
import CLibNL
import LinuxSystem
import PacketHeaders

extension RouteDecision {
  /// RTM_NEWROUTE's payload: struct rtmsg and RTA_*.
  init(parsing payload: UnsafeRawBufferPointer) throws(Failure) {
    let header = try payload.read(rtmsg.self, at: 0)
    self.init(type: header.rtm_type, isMultipath: false, hasEncapsulation: false)
    try payload.attributes(after: MemoryLayout<rtmsg>.size).forEach { attribute throws(Failure) in
      switch Int(attribute.type) {
      case Int(RTA_OIF.rawValue): outInterface = try attribute.integer()
      case Int(RTA_GATEWAY.rawValue): gateway = try attribute.address()
      case Int(RTA_VIA.rawValue): gateway = try Self.via(attribute)
      case Int(RTA_PREFSRC.rawValue): preferredSource = try attribute.address()
      case Int(RTA_METRICS.rawValue): try readMetrics(attribute.nested)
      case Int(RTA_MULTIPATH.rawValue): isMultipath = true
      case Int(RTA_ENCAP.rawValue), Int(RTA_ENCAP_TYPE.rawValue): hasEncapsulation = true
      case Int(RTA_NH_ID.rawValue): nextHopID = try attribute.integer()
      // struct rta_cacheinfo: only what ICMP told expires.
      case Int(RTA_CACHEINFO.rawValue): isLearned = try attribute.payload.read(Int32.self, at: 8) != 0
      default: break
      }
    }
  }

  private mutating func readMetrics(_ attributes: Attributes) throws(Failure) {
    try attributes.forEach { attribute throws(Failure) in
      switch attribute.type {
      case RTAX_MTU: mtu = try attribute.integer()
      case RTAX_HOPLIMIT: hopLimit = try attribute.integer()
      default: break
      }
    }
  }

  /// struct rtvia: a gateway of another family, and its address.
  private static func via(_ attribute: Attribute) throws(Failure) -> IPAddress {
    guard attribute.payload.count >= 2 else { throw .malformed("RTA_VIA") }
    let address = UnsafeRawBufferPointer(rebasing: attribute.payload[2...])
    return try Attribute(type: attribute.type, payload: address).address()
  }
}
