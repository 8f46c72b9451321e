// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import Netlink

extension Lab {
  /// Checksum and segmentation, whatever this kernel has of them.
  static func isTransmitOffload(_ feature: String) -> Bool {
    feature.hasPrefix("tx-") && (feature.hasSuffix("-segmentation") || feature.hasPrefix("tx-checksum-"))
  }

  /// Offloads are what a NIC does for the sender. GRO is the receiver's software: on at
  /// the wire always, since a wire stands for a NIC, which has NAPI, and on veth that
  /// comes with GRO. It favours the kernel's networks: frames that Culvert redirects
  /// pass it by.
  func setOffloads() throws {
    for node in nodes {
      try node.run {
        let ethtool = try Ethtool()
        if !spec.offloads {
          let known = try ethtool.features(of: node.interface)
          let off = known.filter { Self.isTransmitOffload($0.key) && !$0.value.isFixed }.mapValues { _ in
            false
          }
          try ethtool.setFeatures(of: node.interface, off)
        }
        if node.isHost { try ethtool.setFeatures(of: node.interface, ["rx-gro": true]) }
      }
    }
  }
}
