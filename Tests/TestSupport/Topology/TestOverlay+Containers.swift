// SPDX-License-Identifier: Apache-2.0
import LinuxSystem

extension TestOverlay {
  /// `mac`: to take over another's, as a migrated container does.
  @discardableResult
  public func addContainer(
    _ name: String, mac: [UInt8]? = nil, number: UInt8? = nil, mtu: Int = 1450, bridge: String = "br0"
  ) throws -> Container {
    let node = try Node()
    let host = String(name.prefix(1))
    let number = number ?? UInt8(name.dropFirst())! + (host == "b" ? 100 : 0)
    let mac = mac ?? [2, 0, 0x5e, 0, host == "a" ? 0xa : 0xb, number]
    var container = Container(node: node, host: host, port: "v\(name)", number: number, mac: mac)
    container.bridge = bridge
    try Self.silence(node)
    let on = hosts[host]!
    try on.shell(
      "ip link add \(container.port) mtu \(mtu) \(many) type veth peer name eth0 \(many) netns \(node.path)")
    if ipv6 {
      try node.set("net/ipv6/conf/all/disable_ipv6", "0")
      try node.set("net/ipv6/conf/eth0/disable_ipv6", "0")
      try node.set("net/ipv6/conf/eth0/router_solicitations", "0")
    }
    try node.shell("ip link set eth0 mtu \(mtu) address \(container.macText) addrgenmode none")
    try node.shell("ip link set eth0 up")
    try node.shell("ip addr add \(container.ipv4)/16 dev eth0")
    if ipv6 { try node.shell("ip addr add \(container.ipv6)/64 dev eth0 nodad") }
    try on.shell("ip link set \(container.port) master \(bridge) up")
    for (_, other) in containers where other.number != number && other.bridge == bridge {
      try introduce(container, other)
      try introduce(other, container)
    }
    try on.waitUntilUp(container.port, isPort: true)
    try node.waitUntilUp("eth0")
    containers[name] = container
    return container
  }

  /// Its namespace goes, as a container runtime ends it.
  public func removeContainer(_ name: String) {
    containers.removeValue(forKey: name)?.node.namespace.remove()
  }

  private func introduce(_ one: Container, _ other: Container) throws {
    // Where a container was let go by the test, its neighbours need not know.
    try one.node.shell("ip neigh replace \(other.ipv4) lladdr \(other.macText) dev eth0 nud permanent")
    guard ipv6 else { return }
    try one.node.shell("ip -6 neigh replace \(other.ipv6) lladdr \(other.macText) dev eth0 nud permanent")
  }
}
