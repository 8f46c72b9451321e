// SPDX-License-Identifier: Apache-2.0
import LinuxSystem

extension TestOverlay {
  /// `mac`: to take over another's, as a migrated container does.
  @discardableResult
  public func addContainer(
    _ name: String, mac: [UInt8]? = nil, number: UInt8? = nil, mtu: Int = 1450, bridge: String = "br0"
  ) throws -> Container {
    let container = try build(name, mac: mac, number: number, mtu: mtu, bridge: bridge)
    try container.node.ip(acquaintances(of: container, with: Array(containers.values)))
    for other in containers.values { try other.node.ip(acquaintances(of: other, with: [container])) }
    return container
  }

  /// Nobody knows it yet.
  @discardableResult
  func build(
    _ name: String, mac: [UInt8]? = nil, number: UInt8? = nil, mtu: Int, bridge: String = "br0"
  ) throws -> Container {
    let node = try Node()
    let host = String(name.prefix(1))
    let number = number ?? UInt8(name.dropFirst())! + (host == "b" ? 100 : 0)
    let mac = mac ?? [2, 0, 0x5e, 0, host == "a" ? 0xa : 0xb, number]
    var container = Container(node: node, host: host, port: "v\(name)", number: number, mac: mac)
    container.bridge = bridge
    try Self.disableIPv6(node)
    let on = hosts[host]!
    try on.ip(
      "link add \(container.port) mtu \(mtu) \(many) type veth peer name eth0 \(many) netns \(node.path)")
    if ipv6 {
      try node.set("net/ipv6/conf/all/disable_ipv6", "0")
      try node.set("net/ipv6/conf/eth0/disable_ipv6", "0")
      try node.set("net/ipv6/conf/eth0/router_solicitations", "0")
    }
    try node.ip(
      [
        "link set lo up", "link set eth0 mtu \(mtu) address \(container.macText) addrgenmode none",
        "link set eth0 up", "addr add \(container.ipv4)/16 dev eth0",
      ] + (ipv6 ? ["addr add \(container.ipv6)/64 dev eth0 nodad"] : []))
    try on.ip("link set \(container.port) master \(bridge) up")
    try on.waitUntilUp(container.port, isPort: true)
    try node.waitUntilUp("eth0")
    containers[name] = container
    return container
  }

  /// Its namespace goes, as a container runtime ends it.
  public func removeContainer(_ name: String) {
    containers.removeValue(forKey: name)?.node.namespace.remove()
  }

  /// What `one` is to know of others of its overlay.
  func acquaintances(of one: Container, with others: [Container]) -> [String] {
    others.filter { $0.number != one.number && $0.bridge == one.bridge }.flatMap { other in
      [other.ipv4, other.ipv6].prefix(ipv6 ? 2 : 1).map {
        "neigh replace \($0) lladdr \(other.macText) dev eth0 nud permanent"
      }
    }
  }
}
