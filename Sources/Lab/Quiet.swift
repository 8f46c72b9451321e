// SPDX-License-Identifier: Apache-2.0
import Glibc
import LinuxSystem
import Netlink

/// Settings of a namespace before it has devices: without the packets that interfaces
/// send by themselves, since measurements and tests account to the packet.
enum Quiet {
  static func prepare(_ node: LabNode, _ spec: LabSpec) throws {
    try node.run {
      // New devices take over `default`; MLD reports (RFC 3810) cannot be switched off,
      // so they go at once and not seconds later.
      let settings: [(String, Int)] =
        !node.usesIPv6
        ? [("disable_ipv6", 1)]
        : [
          ("accept_dad", 0), ("dad_transmits", 0), ("router_solicitations", 0), ("accept_ra", 0),
          ("addr_gen_mode", 1), ("mldv1_unsolicited_report_interval", 1),
          ("mldv2_unsolicited_report_interval", 1),
        ]
      for (name, value) in settings {
        try FileText.write("\(value)", to: "/proc/sys/net/ipv6/conf/default/\(name)")
      }
      if !spec.bridgeNetfilter { try bypassNetfilterOnBridges() }
      let route = try RouteConnection()
      try route.setUp(try route.link(named: "lo").index)
    }
  }

  /// Without br_netfilter there is nothing to switch off.
  private static func bypassNetfilterOnBridges() throws(Failure) {
    guard access("/proc/sys/net/bridge", F_OK) == 0 else { return }
    for tables in ["iptables", "ip6tables", "arptables"] {
      try FileText.write("0", to: "/proc/sys/net/bridge/bridge-nf-call-\(tables)")
    }
  }

  /// Waits for the last of what new interfaces announce.
  static func settle(_ nodes: [LabNode]) throws {
    func counters() throws -> [String] {
      try nodes.map { node in try node.run { try FileText.read("/proc/thread-self/net/dev") } }
    }
    var before = try counters()
    for _ in 0..<50 {
      usleep(30_000)
      let now = try counters()
      if now == before { return }
      before = now
    }
    throw Failure("settle", "the lab", advice: "Something in it sends without pause.")
  }
}
