// SPDX-License-Identifier: Apache-2.0
import FastPath
import Glibc
import Lab
import LinuxSystem
import Netlink
import PacketHeaders
import TestSupport
import Traffic

/// A lab of network `flannel` or `calico`, and Culvert on its hosts.
struct RoutedLab {
  let network: LabSpec.Network
  let lab: Lab
  /// The underlay is.
  let isOverIPv6: Bool

  /// - Parameters:
  ///   - rules: false: the hosts have no rules of netfilter.
  ///   - vxlan: further options of the VXLAN devices over IPv6.
  init(
    _ network: LabSpec.Network, containers: Int = 1, rules: Bool = false, offloads: Bool = true, overIPv6: Bool = false,
    vxlan: String = ""
  ) throws {
    self.network = network
    isOverIPv6 = overIPv6
    lab = try Lab.make(LabSpec(network, containers: containers, offloads: offloads))
    if !rules { for host in LabHost.allCases { try self.host(host).run { try TestSupport.shell("nft", "flush", "ruleset") } } }
    if overIPv6 { for host in LabHost.allCases { try moveOverIPv6(host, vxlan) } }
  }

  /// As flannel-v6.1 and vxlan-v6.calico are, with IPv4 inside too.
  private func moveOverIPv6(_ host: LabHost, _ options: String) throws {
    let overlay = network.overlay!
    let (own, far) = host == .a ? (1, 2) : (2, 1)
    let (subnet, other, other6) = host == .a ? ("198.19.0.0", "198.19.128.0", "2001:2::b:0") : ("198.19.128.0", "198.19.0.0", "2001:2::a:0")
    let mac = self.host(host == .a ? .b : .a).overlayMAC
    for line in [
      "addr add 2001:2:0:1::\(own)/64 dev eth0 nodad", "link del \(overlay.device)",
      "link add \(overlay.device) address \(self.host(host).overlayMAC) mtu 1430 type vxlan id \(overlay.vni) dev eth0 "
        + "local 2001:2:0:1::\(own) dstport \(overlay.port) nolearning \(options)",
      "addr add \(subnet)/32 dev \(overlay.device)", "addr add 2001:2:0:2::\(own)/128 dev \(overlay.device)",
      "link set \(overlay.device) up", "neigh replace \(other) lladdr \(mac) dev \(overlay.device) nud permanent",
      "neigh replace 2001:2:0:2::\(far) lladdr \(mac) dev \(overlay.device) nud permanent",
      "route add \(other)/24 via \(other) dev \(overlay.device) onlink",
      "route add \(other6)/112 via 2001:2:0:2::\(far) dev \(overlay.device) onlink",
    ] { try shell(host.rawValue, "ip \(line)") }
    try shell(host.rawValue, "bridge fdb append \(mac) dev \(overlay.device) dst 2001:2:0:1::\(far) self permanent")
    for node in lab.nodes where node.host == host && !node.isHost {
      try shell(node.name, "ip link set eth0 mtu 1430")
      try shell(host.rawValue, "ip link set \(node.hostPort!) mtu 1430")
    }
  }

  /// Layer 3 bytes that containers send in one piece.
  var mtu: Int { isOverIPv6 ? 1430 : 1450 }

  func host(_ host: LabHost) -> LabNode { lab.host(host) }

  /// What could stay behind on hostA and in its first container.
  func state() throws -> [String] {
    try ["ip link", "ip route", "ip neigh", "bridge link", "tc qdisc", "tc filter show dev eth0 ingress"].map {
      try shell("hostA", $0)
    } + [shell("a1", "ethtool -k eth0"), shell("hostB", "ethtool -k eth0")]
  }
  func node(_ name: String) throws -> LabNode { try lab.node(name) }

  /// Those that serve a routed overlay.
  static let tiers: [Tier] = [.tc, .xdp]

  func start(
    _ host: LabHost, _ tier: Tier = .tc, _ change: (inout FastPathOptions) -> Void = { _ in }
  ) throws -> FastPathService {
    var options = FastPathOptions(
      overlay: network.overlay!.device, namespace: self.host(host).reference, tier: tier)
    // A port that sends bulk TCP is otherwise given back.
    options.carriesBulk = tier != .tc
    options.entryCapacity = 4096
    options.portCapacity = 32
    change(&options)
    return try FastPathService.start(options)
  }

  func path(_ client: String, _ server: String, port: UInt16 = 20_000, asService: Bool = false) throws -> Path {
    func station(_ name: String) throws -> Station {
      let node = try node(name)
      return Station(
        name: name, namespace: SharedNamespace(try node.namespace.duplicate()), ipv4: node.address,
        ipv6: node.address6)
    }
    var there = try station(server)
    if asService { there = there.asService(try node(server).service) }
    return Path(client: try station(client), server: there, port: port)
  }

  @discardableResult
  func shell(_ node: String, _ command: String) throws -> String {
    try self.node(node).run { try TestSupport.shell(command.split(separator: " ").map(String.init)) }
  }

  func answers(_ from: String, _ to: String, count: Int = 5, patience: Double = 1, ipv6: Bool = false) throws -> Int {
    let address = ipv6 ? "\(try node(to).address6!)" : "\(try node(to).address)"
    let text: String
    do { text = try shell(from, "ping -n -q -c \(count) -i 0.01 -W \(patience) \(address)") } catch let failure
      as ShellFailure
    { text = failure.output }
    let words = text.split(whereSeparator: { $0 == " " || $0 == "\n" })
    return words.firstIndex(of: "received,").flatMap { Int(words[$0 - 1]) } ?? 0
  }

  /// From one container to another, as the first sends it to its router.
  func packet(_ kind: TestPacket.Kind, _ from: String, _ to: String) throws -> TestPacket {
    let (source, destination) = (try node(from), try node(to))
    var packet = TestPacket(
      kind, from: 0, source: source.mac.octets, to: 0, destination: source.gatewayMAC!.octets)
    let isIPv6 = packet.bytes[12] == 0x86
    packet.sourceAddress = isIPv6 ? source.address6!.octets : source.address.octets
    packet.destinationAddress = isIPv6 ? destination.address6!.octets : destination.address.octets
    return packet
  }

  /// What hostB's device would send of it to hostA.
  func encapsulated(_ inner: [UInt8], from sender: IPv4Address? = nil, tos: UInt8 = 0) -> [UInt8] {
    if isOverIPv6 { return encapsulatedOverIPv6(inner, tos) }
    let (a, b) = (host(.a), host(.b))
    let overlay = network.overlay!
    let vni = [UInt8(overlay.vni >> 16), UInt8(overlay.vni >> 8 & 0xff), UInt8(overlay.vni & 0xff), 0]
    let udp = be(40_000) + be(overlay.port) + be(UInt16(16 + inner.count)) + [0, 0]
    var ip: [UInt8] = [0x45, tos] + be(UInt16(36 + inner.count)) + [0x12, 0x34, 0, 0, 64, 17, 0, 0]
    ip += (sender ?? b.address).octets + a.address.octets
    ip.replaceSubrange(10..<12, with: be(internetChecksum(ip)))
    return a.mac.octets + b.mac.octets + [8, 0] + ip + udp + [8, 0, 0, 0] + vni + inner
  }

  private func encapsulatedOverIPv6(_ inner: [UInt8], _ trafficClass: UInt8) -> [UInt8] {
    let overlay = network.overlay!
    func address(_ number: UInt8) -> [UInt8] { [0x20, 1, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, number] }
    let vni = [UInt8(overlay.vni >> 16), UInt8(overlay.vni >> 8 & 0xff), UInt8(overlay.vni & 0xff), 0]
    let length = UInt16(16 + inner.count)
    var udp = be(40_000) + be(overlay.port) + be(length) + [0, 0] + [8, 0, 0, 0] + vni + inner
    let sum = internetChecksum(address(2) + address(1) + [0, 0] + be(length) + [0, 0, 0, 17] + udp)
    udp.replaceSubrange(6..<8, with: be(sum == 0 ? 0xffff : sum))
    let ip: [UInt8] = [0x60 | trafficClass >> 4, trafficClass << 4, 0, 0] + be(length) + [17, 64] + address(2) + address(1)
    return host(.a).mac.octets + host(.b).mac.octets + [0x86, 0xdd] + ip + udp
  }
}

extension MACAddress { var octets: [UInt8] { (0..<6).map { UInt8(value >> (40 - 8 * $0) & 0xff) } } }

extension FastPathService {
  /// Packets with a verdict, over all ports, or those of one.
  func count(_ verdict: String, of port: String? = nil) throws -> UInt64 {
    try stats().ports.filter { port == nil || $0.name == port }.reduce(0) {
      $0 + ($1.forwarded[verdict]?.packets ?? 0) + ($1.passed[verdict]?.packets ?? 0)
    }
  }

  /// Once `send` has what is sent carried: until the neighbours are known, packets are the kernel's.
  func countWhenCarried(_ verdict: String, _ send: () throws -> Void) throws -> UInt64 {
    let isCarried = try eventually {
      try send()
      return try count(verdict) > 0
    }
    guard isCarried else { throw Failure("carry", verdict, advice: "\(try stats().ports)") }
    return try count(verdict)
  }
}
