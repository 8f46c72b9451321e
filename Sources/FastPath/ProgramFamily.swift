// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import CBPFObjects

/// The programs that a tier runs: those of bridged overlays, which share them, or those of one routed overlay.
struct ProgramFamily {
  let object: culvert_bpf_object
  /// The underlay's IP is that.
  let isIPv6: Bool
  /// For messages, whose programs they are.
  let owner: String
  /// Behind the names of its programs.
  var suffix = ""
  /// Of maps that only this family has.
  var sizes: [String: UInt32] = [:]
  /// Sets the variables that only this family has, in each object that is loaded.
  var configure: (borrowing BPFObject) throws -> Void = { _ in }

  static func bridged(_ tier: Tier, isIPv6: Bool) -> ProgramFamily {
    let object = switch (tier, isIPv6) {
    case (.tc, false): culvert_bpf_tc()
    case (.tc, true): culvert_bpf_tc6()
    case (_, false): culvert_bpf_xdp()
    case (_, true): culvert_bpf_xdp6()
    }
    return ProgramFamily(object: object, isIPv6: isIPv6, owner: "overlays over \(isIPv6 ? "IPv6" : "IPv4")")
  }

  /// Of the overlay whose VXLAN device is `vxlan`.
  static func routed(_ tier: Tier, isIPv6: Bool, over vxlan: Int32, _ options: FastPathOptions) throws -> ProgramFamily {
    let object = switch (tier, isIPv6) {
    case (.tc, false): culvert_bpf_routed()
    case (.tc, true): culvert_bpf_routed6()
    case (_, false): culvert_bpf_routed_xdp()
    case (_, true): culvert_bpf_routed_xdp6()
    }
    var family = ProgramFamily(object: object, isIPv6: isIPv6, owner: "\(options.overlay), which is routed to")
    family.suffix = options.policy == .connections ? "_connections" : ""
    family.sizes = ["routed_devices": options.portCapacity]
    let checksumFlag = tier == .tc ? try TCTier.checksumFlag() : nil
    family.configure = { object in
      try object.set("vxlan_ifindex", to: UInt32(vxlan))
      if let checksumFlag { try object.set("ip6_checksum_flag", to: checksumFlag) }
    }
    return family
  }
}
