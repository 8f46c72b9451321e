// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import Netlink
import PacketHeaders

/// What `flannel` and `calico` have beyond their devices: hosts that route between their containers and a VXLAN
/// device, as flanneld and felix program it.
extension Lab {
  func buildRouting(_ host: LabHost) throws {
    let node = self.host(host)
    try node.run {
      try FileText.write("1", to: "/proc/sys/net/ipv4/ip_forward")
      try FileText.write("1", to: "/proc/sys/net/ipv6/conf/all/forwarding")
      let route = try RouteConnection()
      try buildRoutedOverlay(node, route)
      if spec.network == .flannel { try addBridgeAddresses(node, route) }
      if spec.network == .calico { try routeToContainers(of: host, route) }
      try NFTables.run(ClusterRules(spec, on: host).text, on: node.name)
      // As on `nat`: connections that a client resets would stay for ten seconds, in the next trial's way.
      try FileText.write("1", to: "/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_close")
    }
    for container in containers(of: host) { try routeByHost(container) }
  }

  /// A VXLAN device that learns nothing and floods nowhere: the other host's is a permanent neighbour, behind a
  /// permanent FDB entry, and the gateway of its subnet.
  private func buildRoutedOverlay(_ node: LabNode, _ route: borrowing RouteConnection) throws {
    let overlay = spec.network.overlay!
    let (mine, other) = (node.identity, host(node.host.other))
    var vxlan = VXLANSettings(vni: overlay.vni)
    vxlan.port = overlay.port
    vxlan.local = .v4(node.address)
    vxlan.link = try route.link(named: LabNames.uplink).index
    vxlan.learning = false
    vxlan.udpChecksum = spec.udpChecksum
    try route.createVXLAN(
      LinkSettings(overlay.device, mtu: spec.containerMTU, mac: mine.vxlanMAC), vxlan)
    let device = try route.link(named: overlay.device).index
    try route.addAddress(device, .v4(mine.subnet), prefix: 32)
    try route.addAddress(device, .v6(mine.overlayAddress6), prefix: 128)
    try route.setUp(device)
    try route.changeFDB(
      .append,
      FDBRequest(
        link: device, mac: other.identity.vxlanMAC, table: .device, destination: .v4(other.address),
        state: FDBRequest.permanent))
    let ways: [(gateway: IPAddress, subnet: IPAddress, prefix: UInt8)] = [
      (.v4(other.identity.subnet), .v4(other.identity.subnet), 24),
      (.v6(other.identity.overlayAddress6), .v6(other.identity.subnet6), 112),
    ]
    for (gateway, subnet, prefix) in ways {
      try route.changeNeighbour(.replace, link: device, gateway, mac: other.identity.vxlanMAC)
      var settings = RouteSettings(to: subnet, prefix: prefix)
      settings.gateway = gateway
      settings.outInterface = device
      settings.isOnLink = true
      try route.changeRoute(.add, settings)
    }
  }

  /// The gateway over IPv6. Neighbour discovery of a router needs an address of the link (RFC 4861).
  private func addBridgeAddresses(_ node: LabNode, _ route: borrowing RouteConnection) throws {
    let bridge = try route.link(named: spec.network.bridge!).index
    try route.addAddress(bridge, .v6(node.identity.bridgeAddress6), prefix: 112)
    try route.addAddress(bridge, .v6(Self.routerOnLink), prefix: 64)
  }

  /// A route for each container, and nothing for what of the subnet no container has.
  private func routeToContainers(of host: LabHost, _ route: borrowing RouteConnection) throws {
    let identity = self.host(host).identity
    for (subnet, prefix): (IPAddress, UInt8) in [(.v4(identity.subnet), 24), (.v6(identity.subnet6), 112)] {
      var blackhole = RouteSettings(to: subnet, prefix: prefix)
      blackhole.isBlackhole = true
      try route.changeRoute(.add, blackhole)
    }
    // Proxy ARP answers for what is routed by another interface: in a cluster that is the default route.
    var beyond = RouteSettings(to: .v4(Self.proxiedGateway), prefix: 32)
    beyond.gateway = .v4(self.host(host.other).address)
    try route.changeRoute(.add, beyond)
    for container in containers(of: host) { try routeTo(container, route) }
  }

  /// What felix does for a container's port.
  func routeTo(_ container: LabNode, _ route: borrowing RouteConnection) throws {
    let port = container.hostPort!
    for (setting, value) in [
      ("conf/\(port)/proxy_arp", "1"), ("neigh/\(port)/proxy_delay", "0"), ("conf/\(port)/rp_filter", "1"),
    ] {
      try FileText.write(value, to: "/proc/sys/net/ipv4/\(setting)")
    }
    let index = try route.link(named: port).index
    try route.addAddress(index, .v6(Self.routerOnLink), prefix: 64)
    let addresses: [(IPAddress, UInt8)] = [(.v4(container.address), 32), (.v6(container.address6!), 128)]
    for (address, prefix) in addresses {
      var settings = RouteSettings(to: address, prefix: prefix)
      settings.outInterface = index
      try route.changeRoute(.add, settings)
    }
  }

  /// Default routes of a container.
  func routeByHost(_ container: LabNode) throws {
    let identity = host(container.host).identity
    let isFlannel = spec.network == .flannel
    try container.run {
      let route = try RouteConnection()
      let index = try route.link(named: container.interface).index
      let gateway = isFlannel ? identity.bridgeAddress : Self.proxiedGateway
      if !isFlannel {
        var onLink = RouteSettings(to: .v4(gateway), prefix: 32)
        onLink.outInterface = index
        try route.changeRoute(.add, onLink)
      }
      let gateway6 = isFlannel ? identity.bridgeAddress6 : Self.routerOnLink
      let defaults: [(IPAddress, IPAddress)] = [
        (.v4(IPv4Address([0, 0, 0, 0] as [UInt8])!), .v4(gateway)),
        (.v6(IPv6Address([UInt8](repeating: 0, count: 16))!), .v6(gateway6)),
      ]
      for (everywhere, gateway) in defaults {
        var settings = RouteSettings(to: everywhere, prefix: 0)
        settings.gateway = gateway
        settings.outInterface = index
        try route.changeRoute(.add, settings)
      }
    }
  }

  /// Stands for Calico's 169.254.1.1, which no host has and every host answers ARP for.
  static let proxiedGateway = IPv4Address([198, 18, 255, 1] as [UInt8])!
  /// fe80::ecee:eeff:feee:eeee, what the address of Calico's ports makes.
  static let routerOnLink = IPv6Address(
    [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0xec, 0xee, 0xee, 0xff, 0xfe, 0xee, 0xee, 0xee] as [UInt8])!
}
