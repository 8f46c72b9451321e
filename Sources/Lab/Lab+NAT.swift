// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import Netlink
import PacketHeaders

/// What `nat` has beyond a bridge: the host routes for its containers, and translates.
extension Lab {
  func buildTranslation(_ host: LabHost) throws {
    let node = self.host(host)
    let gateway = node.identity.bridgeAddress
    try node.run {
      let route = try RouteConnection()
      let bridge = try route.link(named: LabNames.bridge).index
      try route.addAddress(bridge, .v4(gateway), prefix: 17)
      try FileText.write("1", to: "/proc/sys/net/ipv4/ip_forward")
      try NFTables.run(rules(host), on: node.name)
      // Connections that a client resets, as tcp-crr's, would else stay for ten seconds: a hundred thousand of
      // one trial in the next one's way.
      try FileText.write("1", to: "/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_close")
    }
    for container in containers(of: host) { try routeByBridge(container) }
  }

  /// The host is the way to everything else.
  func routeByBridge(_ container: LabNode) throws {
    let gateway = host(container.host).identity.bridgeAddress
    try container.run {
      var route = RouteSettings(to: .v4(IPv4Address([0, 0, 0, 0] as [UInt8])!), prefix: 0)
      route.gateway = .v4(gateway)
      try RouteConnection().changeRoute(.add, route)
    }
  }

  private func rules(_ host: LabHost) -> String {
    let uplink = LabNames.uplink
    let address = self.host(host).address
    let published = containers(of: host).flatMap { container in
      let ports = spec.publishedPorts(of: container.identity.container!)
      return ["tcp", "udp"].map {
        "iifname \(uplink) ip daddr \(address) \($0) dport \(ports.lowerBound)-\(ports.upperBound) "
          + "dnat to \(container.address)"
      }
    }
    return """
      table ip \(LabNames.table) {
        chain published {
          type nat hook prerouting priority dstnat
          \(published.joined(separator: "\n    "))
        }
        chain masqueraded {
          type nat hook postrouting priority srcnat
          oifname \(uplink) ip saddr \(self.host(host).identity.bridgeAddress)/17 masquerade
        }
      }

      """
  }
}
