// SPDX-License-Identifier: Apache-2.0
import FastPath
import Glibc
import LinuxSystem
import PacketHeaders
import TestSupport

/// Two hosts with a bridge and a VXLAN device each, and containers, built by ip(8) in
/// anonymous namespaces that go with this value. Silent: no IPv6 chatter, static neighbours.
final class TestOverlay {
  struct Node {
    let namespace: Box<NetworkNamespace>
    var path: String { "/proc/\(getpid())/fd/\(namespace.value.descriptor.raw)" }
    init() throws { namespace = Box(try NetworkNamespace.makeAnonymous()) }
    @discardableResult
    func shell(_ command: String) throws -> String {
      try namespace.value.run {
        try TestSupport.shell(command.split(separator: " ").map(String.init))
      }
    }
    func run<T>(_ body: () throws -> T) throws -> T { try namespace.value.run(body) }
    /// A noncopyable value made inside, such as a socket, used from anywhere.
    func open<T: ~Copyable>(_ body: () throws -> T) throws -> T {
      var made: T?
      try namespace.value.run { made = try body() }
      return made.take()!
    }
  }

  struct Container {
    let node: Node
    let host: String
    let port: String
    let number: UInt8
    let mac: [UInt8]
    var macText: String { MACAddress(mac)!.description }
  }

  /// Without it, nothing is sent but by the test: no multicast listener reports.
  private let ipv6: Bool
  /// Of each end of the wire and of each container's veth.
  private let queues: Int
  private var many: String { "numrxqueues \(queues) numtxqueues \(queues)" }
  private var inhabitants: [pid_t] = []

  deinit {
    for process in inhabitants {
      kill(process, SIGKILL)
      waitpid(process, nil, 0)
    }
  }

  /// A process in every namespace, as real ones have: another process finds them by it.
  func inhabit() throws {
    for node in containers.values.map(\.node) + hosts.values {
      inhabitants.append(try node.run { try background("sleep", "300") })
    }
  }

  let hosts: [String: Node]
  private(set) var containers: [String: Container] = [:]

  enum Wire {
    /// As a card sends them.
    case completeChecksums
    /// As a veth hands them over.
    case partialChecksums
  }

  /// `vxlan`: further words for `ip link add … type vxlan`; `containers`: such as a1, a2, b1.
  init(
    vxlan: String = "noudpcsum", ageing: Int = 300, containers names: [String] = ["a1", "b1"],
    mtu: Int = 1500, queues: Int = 1,
    wire: Wire = .completeChecksums, ipv6: Bool = true
  ) throws {
    self.ipv6 = ipv6
    self.queues = queues
    let a = try Node()
    let b = try Node()
    hosts = ["a": a, "b": b]
    for node in [a, b] { try Self.silence(node) }
    try a.shell("ip link add eth0 mtu \(mtu) \(many) type veth peer name wire \(many) netns \(b.path)")
    try b.shell("ip link set wire name eth0 mtu \(mtu)")
    for (name, node) in hosts {
      let (local, remote) =
        name == "a" ? ("198.18.0.1", "198.18.0.2") : ("198.18.0.2", "198.18.0.1")
      try node.shell("ip addr add \(local)/24 dev eth0")
      try node.shell("ip link set eth0 up")
      try node.shell("ip link add br0 type bridge ageing_time \(ageing * 100) mcast_snooping 0")
      try node.shell(
        "ip link add vx0 type vxlan id 42 local \(local) remote \(remote) dstport 4789 dev eth0 ageing \(ageing) \(vxlan)"
      )
      try node.shell("ip link set vx0 master br0 up")
      try node.shell("ip link set br0 up")
      try node.run {
        for family in ["ip", "ip6", "arp"] {
          try? "0".write(
            toFile: "/proc/sys/net/bridge/bridge-nf-call-\(family)tables", atomically: false,
            encoding: .utf8)
        }
      }
    }
    // A card has NAPI; that only counts for the other end when it is switched on while
    // this one is up.
    for node in [a, b] {
      try node.shell("ethtool -K eth0 gro on\(wire == .completeChecksums ? " tx off" : "")")
    }
    for name in names { try addContainer(name, mtu: mtu - 50) }
    try resolveWire()
  }

  private static func silence(_ node: Node) throws {
    try node.run {
      for place in ["default", "all"] {
        try "1".write(
          toFile: "/proc/sys/net/ipv6/conf/\(place)/disable_ipv6", atomically: false,
          encoding: .utf8)
      }
    }
    try node.shell("ip link set lo up")
  }

  /// The hosts know each other, so that no ARP is needed on the wire.
  private func resolveWire() throws {
    for (name, other, address) in [("a", "b", "198.18.0.2"), ("b", "a", "198.18.0.1")] {
      try hosts[name]!.shell(
        "ip neigh replace \(address) lladdr \(try self.mac(of: other)) dev eth0 nud permanent")
    }
  }

  private func mac(of host: String) throws -> String {
    let text = try hosts[host]!.shell("ip -o link show eth0")
    return String(text.split(separator: " ").drop { $0 != "link/ether" }.dropFirst().first!)
  }

  /// `mac`: to take over another's, as a migrated container does.
  @discardableResult
  func addContainer(_ name: String, mac: [UInt8]? = nil, number: UInt8? = nil, mtu: Int = 1450)
    throws -> Container
  {
    let node = try Node()
    let host = String(name.prefix(1))
    let number = number ?? UInt8(name.dropFirst())! + (host == "b" ? 100 : 0)
    let mac = mac ?? [2, 0, 0x5e, 0, host == "a" ? 0xa : 0xb, number]
    let container = Container(node: node, host: host, port: "v\(name)", number: number, mac: mac)
    try Self.silence(node)
    let on = hosts[host]!
    try on.shell(
      "ip link add \(container.port) mtu \(mtu) \(many) type veth peer name eth0 \(many) netns \(node.path)")
    if ipv6 {
      try node.run {
        try "0".write(
          toFile: "/proc/sys/net/ipv6/conf/all/disable_ipv6", atomically: false, encoding: .utf8)
        try "0".write(
          toFile: "/proc/sys/net/ipv6/conf/eth0/disable_ipv6", atomically: false, encoding: .utf8)
        try "0".write(
          toFile: "/proc/sys/net/ipv6/conf/eth0/router_solicitations", atomically: false,
          encoding: .utf8)
      }
    }
    try node.shell("ip link set eth0 mtu \(mtu) address \(container.macText) addrgenmode none")
    try node.shell("ip link set eth0 up")
    try node.shell("ip addr add 198.19.0.\(number)/16 dev eth0")
    if ipv6 { try node.shell("ip addr add 2001:2::\(String(number, radix: 16))/64 dev eth0 nodad") }
    try on.shell("ip link set \(container.port) master br0 up")
    for (_, other) in containers where other.number != number {
      try introduce(container, other)
      try introduce(other, container)
    }
    containers[name] = container
    return container
  }

  private func introduce(_ one: Container, _ other: Container) throws {
    try one.node.shell(
      "ip neigh replace 198.19.0.\(other.number) lladdr \(other.macText) dev eth0 nud permanent")
    guard ipv6 else { return }
    try one.node.shell(
      "ip -6 neigh replace 2001:2::\(String(other.number, radix: 16)) lladdr \(other.macText) dev eth0 nud permanent"
    )
  }

  /// The kernel's bridges learn where everybody is.
  func ping(_ from: String, _ to: String, count: Int = 1, options: String = "") throws {
    try containers[from]!.node.shell(
      "ping -n -q -c \(count) -i 0.1 -W 2 \(options) 198.19.0.\(containers[to]!.number)")
  }

  func options(_ host: String, _ change: (inout FastPathOptions) -> Void = { _ in })
    -> FastPathOptions
  {
    var options = FastPathOptions(overlay: "br0", namespace: hosts[host]!.path)
    options.entryCapacity = 4096
    options.portCapacity = 32
    change(&options)
    return options
  }

  func start(_ host: String, _ change: (inout FastPathOptions) -> Void = { _ in }) throws
    -> FastPathService
  {
    try FastPathService.start(options(host, change))
  }

  func packet(_ kind: TestPacket.Kind, _ from: String, _ to: String) -> TestPacket {
    let (one, other) = (containers[from]!, containers[to]!)
    return TestPacket(
      kind, from: one.number, source: one.mac, to: other.number, destination: other.mac)
  }
}
