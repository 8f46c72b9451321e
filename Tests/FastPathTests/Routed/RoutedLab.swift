// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import FastPath
import Glibc
import Lab
import LinuxSystem
import Netlink
import PacketHeaders
import TestSupport
import Traffic

/// Whether this kernel lets a routed overlay be served: with tcx, so from Linux 6.6.
let mayServeRouted = mayUseKernel && TCXLink.isSupported()
let needsTCX = "needs root, and tcx (Linux 6.6)"

/// A lab of network `flannel` or `calico`, and Culvert on its hosts.
struct RoutedLab {
  let network: LabSpec.Network
  let lab: Lab

  /// - Parameter rules: false: the hosts have no rules of netfilter.
  init(_ network: LabSpec.Network, containers: Int = 1, rules: Bool = false, offloads: Bool = true) throws {
    self.network = network
    lab = try Lab.make(LabSpec(network, containers: containers, offloads: offloads))
    if !rules { for host in LabHost.allCases { try self.host(host).run { try TestSupport.shell("nft", "flush", "ruleset") } } }
  }

  func host(_ host: LabHost) -> LabNode { lab.host(host) }
  func node(_ name: String) throws -> LabNode { try lab.node(name) }

  func start(_ host: LabHost, _ change: (inout FastPathOptions) -> Void = { _ in }) throws -> FastPathService {
    var options = FastPathOptions(
      overlay: network.overlay!.device, namespace: self.host(host).reference, tier: .tc)
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

  func answers(_ from: String, _ to: String, count: Int = 5, patience: Double = 1) throws -> Int {
    let address = try node(to).address
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
    packet.sourceAddress = source.address.octets
    packet.destinationAddress = destination.address.octets
    return packet
  }

  /// What hostB's device would send of it to hostA.
  func encapsulated(_ inner: [UInt8], from sender: IPv4Address? = nil, tos: UInt8 = 0) -> [UInt8] {
    let (a, b) = (host(.a), host(.b))
    let overlay = network.overlay!
    let vni = [UInt8(overlay.vni >> 16), UInt8(overlay.vni >> 8 & 0xff), UInt8(overlay.vni & 0xff), 0]
    let udp = be(40_000) + be(overlay.port) + be(UInt16(16 + inner.count)) + [0, 0]
    var ip: [UInt8] = [0x45, tos] + be(UInt16(36 + inner.count)) + [0x12, 0x34, 0, 0, 64, 17, 0, 0]
    ip += (sender ?? b.address).octets + a.address.octets
    ip.replaceSubrange(10..<12, with: be(internetChecksum(ip)))
    return a.mac.octets + b.mac.octets + [8, 0] + ip + udp + [8, 0, 0, 0] + vni + inner
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
}
