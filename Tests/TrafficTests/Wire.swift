// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import Netlink
import PacketHeaders
import TestSupport
import Traffic

/// Two namespaces and one veth pair between them; gone with this value.
struct Wire {
  let near: Station
  let far: Station
  let nearMAC: MACAddress
  let farMAC: MACAddress

  init(mtu: UInt32 = 1500) throws {
    let one = try SharedNamespace(.makeAnonymous())
    let other = try SharedNamespace(.makeAnonymous())
    do {
      let near = try RouteConnection.open(in: one.value)
      try near.createVeth(
        LinkSettings("eth0", mtu: mtu),
        LinkSettings("eth0", mtu: mtu, namespace: other.value.descriptor.raw))
    }
    nearMAC = try Self.address(one, "198.18.77.1", "2001:2:0:77::1")
    farMAC = try Self.address(other, "198.18.77.2", "2001:2:0:77::2")
    near = Station(
      name: "near", namespace: one, ipv4: IPv4Address("198.18.77.1")!, ipv6: Self.ipv6(1))
    far = Station(
      name: "far", namespace: other, ipv4: IPv4Address("198.18.77.2")!, ipv6: Self.ipv6(2))
  }

  private static func ipv6(_ host: UInt8) -> IPv6Address {
    IPv6Address([0x20, 1, 0, 2, 0, 0, 0, 0x77, 0, 0, 0, 0, 0, 0, 0, host])!
  }

  private static func address(_ space: SharedNamespace, _ ipv4: String, _ ipv6: String) throws -> MACAddress {
    try space.value.run {
      try shell("ip", "link", "set", "lo", "up")
      try shell("ip", "addr", "add", "\(ipv4)/24", "dev", "eth0")
      try shell("ip", "addr", "add", "\(ipv6)/64", "dev", "eth0", "nodad")
      try shell("ip", "link", "set", "eth0", "up")
      // Frames that XDP_TX sends need NAPI at the end that receives them.
      try shell("ethtool", "-K", "eth0", "gro", "on")
      return try RouteConnection().link(named: "eth0").mac!
    }
  }
}

/// One namespace with its loopback up.
func loopback() throws -> Station {
  let space = try SharedNamespace(.makeAnonymous())
  _ = try space.value.run { try shell("ip", "link", "set", "lo", "up") }
  return Station(
    name: "lo", namespace: space, ipv4: IPv4Address("127.0.0.1")!,
    ipv6: IPv6Address([UInt8](repeating: 0, count: 15) + [1])!)
}
