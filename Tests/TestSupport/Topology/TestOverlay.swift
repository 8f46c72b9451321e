// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import PacketHeaders

/// The topology of every test with living packets: two hosts, a wire or a router between them, VXLAN overlays
/// and containers, built by ip(8) in namespaces that go with this value. Silent: no IPv6 chatter, static
/// neighbours.
public final class TestOverlay {
  public typealias Node = TestNode

  public enum Wire: Sendable {
    /// As a card sends them.
    case completeChecksums
    /// As a veth hands them over.
    case partialChecksums
  }

  public enum Layout: Sendable {
    /// Bridge, VXLAN device and uplink in the host's namespace.
    case together
    /// Docker's: bridge and VXLAN device in a namespace of their own, the uplink in the host's.
    case split
  }

  /// One bridge with its VXLAN device, the same on both hosts.
  public struct Domain: Sendable {
    public var bridge: String
    public var device: String
    public var vni: Int
    public var port = 4789
    /// Further words for `ip link add … type vxlan`.
    public var options = "noudpcsum"
    /// Of both tables, in seconds.
    public var ageing = 300
    /// The other host is the default destination.
    public var remote = true
    /// Bound to the uplink.
    public var isBound = true

    public init(bridge: String = "br0", device: String = "vx0", vni: Int = 42) {
      self.bridge = bridge
      self.device = device
      self.vni = vni
    }
  }

  public struct Container: Sendable {
    public let node: Node
    public let host: String
    /// The host's end of its veth.
    public let port: String
    public let number: UInt8
    public let mac: [UInt8]
    public var bridge = "br0"
    public var macText: String { MACAddress(mac)!.description }
    public var ipv4: String { "198.19.0.\(number)" }
    public var ipv6: String { "2001:2::\(String(number, radix: 16))" }

    public init(node: Node, host: String, port: String, number: UInt8, mac: [UInt8]) {
      self.node = node
      self.host = host
      self.port = port
      self.number = number
      self.mac = mac
    }
  }

  /// Without it, nothing is sent but by the test: no multicast listener reports.
  let ipv6: Bool
  /// Of each end of the wire and of each container's veth.
  let queues: Int
  public let layout: Layout
  let wire: Wire
  let mtu: Int
  let isRouted: Bool
  /// The hosts know each other by IPv6 alone.
  let isOverIPv6: Bool
  /// Bytes in front of an encapsulated packet.
  public var outerBytes: Int { isOverIPv6 ? 70 : 50 }
  var many: String { "numrxqueues \(queues) numtxqueues \(queues)" }

  /// Where bridge and VXLAN device are, by a and b.
  public let hosts: [String: Node]
  /// Where the uplink is: the same, but for `split`.
  public let underlays: [String: Node]
  /// Between the hosts where they are routed; eth0's far ends are a and b.
  public let router: Node?
  public internal(set) var containers: [String: Container] = [:]

  /// `containers`: such as a1, a2, b1; `routed`: a router is between the hosts, each on a network of its own.
  public init(
    vxlan: String = "noudpcsum", ageing: Int = 300, containers names: [String] = ["a1", "b1"],
    mtu: Int = 1500, containerMTU: Int? = nil, queues: Int = 1,
    wire: Wire = .completeChecksums, ipv6: Bool = true, layout: Layout = .together, routed: Bool = false,
    overIPv6: Bool = false, introduced: Bool = true, change: (inout Domain) -> Void = { _ in }
  ) throws {
    self.ipv6 = ipv6
    self.queues = queues
    self.layout = layout
    self.wire = wire
    self.mtu = mtu
    isRouted = routed
    isOverIPv6 = overIPv6
    let under = ["a": try Node(), "b": try Node()]
    underlays = under
    hosts = layout == .together ? under : ["a": try Node(), "b": try Node()]
    router = routed ? try Node() : nil
    for node in Array(under.values) + (layout == .split ? Array(hosts.values) : [])
      + [router].compactMap({ $0 })
    {
      try Self.silence(node)
    }
    if routed { try buildRoutedUnderlay() } else { try buildWire() }
    var domain = Domain()
    domain.options = vxlan
    domain.ageing = ageing
    change(&domain)
    try addDomain(domain)
    for name in names { try build(name, mtu: containerMTU ?? mtu - outerBytes) }
    for container in containers.values {
      try container.node.ip(acquaintances(of: container, with: Array(containers.values)))
    }
    // Nothing is attached to a port behind which nobody is known. A topology that a test breaks on purpose may stay mute.
    if introduced { for (one, other) in zip(names, names.dropFirst()) { _ = try? ping(one, other) } }
  }

  /// The kernel's bridges learn where everybody is.
  public func ping(_ from: String, _ to: String, count: Int = 1, options: String = "") throws {
    try containers[from]!.node.shell(
      "ping -n -q -c \(count) -i 0.1 -W 2 \(options) \(containers[to]!.ipv4)")
  }

  /// How many of `count` pings are answered.
  public func answers(
    _ from: String, _ to: String, count: Int = 5, interval: Double = 0.01, patience: Double = 1,
    options: String = ""
  ) throws -> Int {
    try containers[from]!.node.answers(
      containers[to]!.ipv4, count: count, interval: interval, patience: patience, options: options)
  }

  public func packet(_ kind: TestPacket.Kind, _ from: String, _ to: String) -> TestPacket {
    let (one, other) = (containers[from]!, containers[to]!)
    return TestPacket(
      kind, from: one.number, source: one.mac, to: other.number, destination: other.mac)
  }
}
