// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import Netlink

extension Lab {
  /// Checksum and segmentation, whatever this kernel has of them.
  static func isTransmitOffload(_ feature: String) -> Bool {
    feature.hasPrefix("tx-") && (feature.hasSuffix("-segmentation") || feature.hasPrefix("tx-checksum-"))
  }

  /// A wire stands for a NIC, which has NAPI; on veth that comes with GRO, and frames
  /// redirected to it vanish without. So GRO is on there always, and where offloads are
  /// off its packets are kept from growing.
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
        guard node.isHost else { return }
        try ethtool.setFeatures(of: node.interface, ["rx-gro": true])
        if !spec.offloads {
          let route = try RouteConnection()
          try route.setGROMaximum(try route.link(named: node.interface).index, 1)
        }
      }
    }
  }
}
