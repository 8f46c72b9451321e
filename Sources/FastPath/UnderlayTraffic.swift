// SPDX-License-Identifier: Apache-2.0
import Netlink
import PacketHeaders

/// An overlay's VXLAN at its uplink, as netfilter's rules would see it.
struct UnderlayTraffic {
  /// Of all remote VTEPs together, then of each where they are few enough to ask one by one.
  private let all: Shapes
  private let each: [Shapes]

  private struct Shapes {
    var leaving: PacketShape
    var arriving: PacketShape
    var isIPv6: Bool

    /// Chains of output and postrouting (NF_INET_LOCAL_OUT, NF_INET_POST_ROUTING), prerouting and input.
    func objections(in rules: Ruleset) -> [Ruleset.Objection] {
      let families: Set<String> = [isIPv6 ? "ip6" : "ip", "inet"]
      return rules.objections(to: leaving, families: families, hooks: [3, 4])
        + rules.objections(to: arriving, families: families, hooks: [0, 1])
    }
  }

  private static let fewEnough = 64

  /// - Parameters:
  ///   - vteps: that packets are sent to, by a port of their own or the device's; nil where there are none.
  ///   - addresses: that packets are sent from where the device has none of its own.
  init?(
    _ config: VXLANAttributes, to vteps: [(remote: IPAddress, port: UInt16?)], addresses: [IPAddress], uplink: Link
  ) {
    let vteps = vteps.filter { !$0.remote.isMulticast }
    guard !vteps.isEmpty else { return nil }
    let device = (name: uplink.name, index: uplink.index)
    func shapes(_ vteps: [(remote: IPAddress, port: UInt16?)]) -> Shapes {
      let remotes = vteps.map(\.remote)
      return Shapes(
        leaving: .vxlan(
          from: config.local.map { [$0] } ?? addresses, to: remotes, ports: vteps.map { $0.port ?? config.port },
          uplink: device, isLeaving: true),
        // Without an address of its own the device listens on each of the host's.
        arriving: .vxlan(
          from: remotes, to: config.local.map { [$0] } ?? [], ports: [config.port], uplink: device, isLeaving: false),
        isIPv6: config.isIPv6)
    }
    all = shapes(vteps)
    each = (2...Self.fewEnough).contains(vteps.count) ? vteps.map { shapes([$0]) } : []
  }

  var leaving: PacketShape { all.leaving }
  var arriving: PacketShape { all.arriving }

  /// Chains that may do more to it than to accept it.
  func objections(in rules: Ruleset) -> [Ruleset.Objection] {
    let found = all.objections(in: rules)
    // What they have in common is less than what is known of each: a rule may accept some addresses, and all of them.
    guard !found.isEmpty, !each.isEmpty else { return found }
    var distinct: [Ruleset.Objection] = []
    for one in each.flatMap({ $0.objections(in: rules) }) where !distinct.contains(one) { distinct.append(one) }
    return distinct
  }
}
