// SPDX-License-Identifier: Apache-2.0
import LinuxSystem

/// The hosts' side: wires, routers, bridges and VXLAN devices.
extension TestOverlay {
  public func address(of host: String) -> String {
    if isOverIPv6 { return host == "a" ? "2001:2:0:1::1" : "2001:2:0:1::2" }
    return isRouted ? (host == "a" ? "198.18.1.1" : "198.18.2.1") : (host == "a" ? "198.18.0.1" : "198.18.0.2")
  }

  public static func other(_ host: String) -> String { host == "a" ? "b" : "a" }

  static func disableIPv6(_ node: Node) throws {
    for place in ["default", "all"] { try node.set("net/ipv6/conf/\(place)/disable_ipv6", "1") }
  }

  static func silence(_ node: Node) throws {
    try disableIPv6(node)
    try node.ip("link set lo up")
  }

  func buildWire() throws {
    if isOverIPv6 { try addIPv6Wire() } else { try addWire("eth0", network: "198.18.0") }
  }

  /// A further wire between the hosts: `network`.1 at a, .2 at b.
  public func addWire(_ name: String, network: String) throws {
    let (a, b) = (underlays["a"]!, underlays["b"]!)
    try a.ip(
      "link add \(name) mtu \(mtu) \(many) type veth peer name wire \(many) netns \(b.path)",
      "addr add \(network).1/24 dev \(name)", "link set \(name) up")
    try b.ip(
      "link set wire name \(name) mtu \(mtu)", "addr add \(network).2/24 dev \(name)", "link set \(name) up")
    // A card has NAPI; that only counts for the other end when it is switched on while this one is up.
    for node in [a, b] { try card(node, name) }
    // The hosts know each other, so that no ARP is needed on the wire.
    for (node, far, number) in [(a, b, 2), (b, a, 1)] {
      try node.shell(
        "ip neigh replace \(network).\(number) lladdr \(try far.mac(of: name)) dev \(name) nud permanent")
    }
  }

  private func addIPv6Wire() throws {
    let (a, b) = (underlays["a"]!, underlays["b"]!)
    try a.shell("ip link add eth0 mtu \(mtu) \(many) type veth peer name wire \(many) netns \(b.path)")
    try b.shell("ip link set wire name eth0 mtu \(mtu)")
    for (host, node) in underlays {
      for place in ["all", "eth0"] { try node.set("net/ipv6/conf/\(place)/disable_ipv6", "0") }
      try node.set("net/ipv6/conf/eth0/router_solicitations", "0")
      try node.shell("ip link set eth0 addrgenmode none")
      try node.shell("ip addr add \(address(of: host))/64 dev eth0 nodad")
      try node.shell("ip link set eth0 up")
    }
    for node in [a, b] { try card(node, "eth0") }
    for (host, node) in underlays {
      let far = Self.other(host)
      try node.shell(
        "ip -6 neigh replace \(address(of: far)) lladdr \(try underlays[far]!.mac(of: "eth0")) dev eth0 nud permanent")
    }
  }

  private func card(_ node: Node, _ name: String) throws {
    try node.shell("ethtool -K \(name) gro on\(wire == .completeChecksums ? " tx off" : "")")
  }

  func buildRoutedUnderlay() throws {
    guard let router else { return }
    try router.set("net/ipv4/ip_forward", "1")
    for (host, node) in underlays {
      let network = host == "a" ? "198.18.1" : "198.18.2"
      try node.shell(
        "ip link add eth0 mtu \(mtu) \(many) type veth peer name \(host) \(many) netns \(router.path)")
      try router.shell("ip link set dev \(host) mtu \(mtu) up")
      try router.shell("ip addr add \(network).254/24 dev \(host)")
      try node.shell("ip addr add \(network).1/24 dev eth0")
      try node.shell("ip link set eth0 up")
      try card(node, "eth0")
      try card(router, host)
      try node.shell("ip route add default via \(network).254")
      try node.shell(
        "ip neigh replace \(network).254 lladdr \(try router.mac(of: host)) dev eth0 nud permanent")
      try router.shell(
        "ip neigh replace \(network).1 lladdr \(try node.mac(of: "eth0")) dev \(host) nud permanent")
    }
  }

  /// A further overlay over the same uplink, on both hosts.
  public func addDomain(_ domain: Domain) throws {
    for host in ["a", "b"] {
      let node = hosts[host]!
      let remote = domain.remote ? "remote \(address(of: Self.other(host))) " : ""
      let bound = domain.isBound ? "dev eth0 " : ""
      let device =
        "link add \(domain.device) type vxlan id \(domain.vni) local \(address(of: host)) \(remote)\(bound)"
        + "dstport \(domain.port) ageing \(domain.ageing) \(domain.options)"
      if layout == .split {
        try underlays[host]!.ip(device, "link set \(domain.device) netns \(node.path)")
      }
      try node.ip(
        (layout == .split ? [] : [device]) + [
          "link add \(domain.bridge) type bridge ageing_time \(domain.ageing * 100) mcast_snooping 0",
          "link set \(domain.device) master \(domain.bridge) up", "link set \(domain.bridge) up",
        ])
      try setNetfilter(false, on: host)
      try underlays[host]!.waitUntilUp("eth0")
      try node.waitUntilUp(domain.device, isPort: true)
    }
  }

  /// Whether bridged packets go through netfilter and find a rule there that could drop some of them.
  public func filterBridged(_ on: Bool, on host: String) throws {
    let commands =
      on
      ? "add table ip filtered; add chain ip filtered c { type filter hook forward priority 0; }; "
        + "add rule ip filtered c tcp dport 9 drop"
      : "delete table ip filtered"
    try hosts[host]!.run { try TestSupport.shell("nft", commands) }
    try setNetfilter(on, on: host)
  }

  /// Whether bridged packets go through netfilter, which new namespaces have on; no such key without the module.
  public func setNetfilter(_ on: Bool, on host: String) throws {
    for family in ["ip", "ip6", "arp"] {
      do { try hosts[host]!.set("net/bridge/bridge-nf-call-\(family)tables", on ? "1" : "0") } catch let
        failure as Failure where failure.errno == .noSuchFileOrDirectory
      {}
    }
  }
}
