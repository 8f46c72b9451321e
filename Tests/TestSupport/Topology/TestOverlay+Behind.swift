// SPDX-License-Identifier: Apache-2.0
import LinuxSystem

extension TestOverlay {
  /// A machine behind a container, which routes on to it by its interface down0: with it, the container is a router.
  /// All other containers know the way.
  public func addMachine(behind name: String) throws -> Container {
    let router = containers[name]!
    let machine = Container(
      node: try Node(), host: router.host, port: "", number: 200, mac: [2, 0, 0x5e, 0, 0xc, 200])
    let mtu = try router.node.mtu(of: "eth0")
    try router.node.ip(
      "link add down0 mtu \(mtu) type veth peer name eth0 mtu \(mtu) address \(machine.macText) netns \(machine.node.path)",
      "link set down0 addrgenmode none", "link set down0 up")
    try machine.node.ip("link set lo up", "link set eth0 addrgenmode none", "link set eth0 up")
    let mac = try router.node.mac(of: "down0")
    for isIPv6 in ipv6 ? [false, true] : [false] {
      func address(_ container: Container) -> String { isIPv6 ? container.ipv6 : container.ipv4 }
      func host(_ container: Container) -> String { "\(address(container))/\(isIPv6 ? 128 : 32)" }
      if isIPv6 {
        for (node, device) in [(router.node, "down0"), (machine.node, "eth0")] {
          try node.set("net/ipv6/conf/\(device)/disable_ipv6", "0")
          try node.set("net/ipv6/conf/\(device)/router_solicitations", "0")
        }
      }
      try router.node.set(isIPv6 ? "net/ipv6/conf/all/forwarding" : "net/ipv4/ip_forward", "1")
      try router.node.ip(
        "neigh replace \(address(machine)) lladdr \(machine.macText) dev down0 nud permanent",
        "route add \(host(machine)) dev down0")
      try machine.node.ip(
        "addr add \(host(machine)) dev eth0\(isIPv6 ? " nodad" : "")",
        "neigh replace \(address(router)) lladdr \(mac) dev eth0 nud permanent",
        "route add \(host(router)) dev eth0", "route add default via \(address(router)) dev eth0")
      for other in containers.values where other.number != router.number {
        try other.node.ip("route add \(host(machine)) via \(address(router))")
      }
    }
    return machine
  }
}
