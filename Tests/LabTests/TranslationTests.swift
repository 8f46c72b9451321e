// SPDX-License-Identifier: Apache-2.0
import Lab
import LinuxSystem
import Netlink
import PacketHeaders
import TestSupport
import Testing
import Traffic

/// Network `nat`: who is seen at which address.
@Suite(.enabled(if: mayUseKernel, Comment(rawValue: needsRoot)), .serialized)
struct TranslationTests {
  let timing = LoadTiming(warmUp: 0, duration: 0.1)

  private func station(_ lab: Lab, _ name: String) throws -> Station {
    let node = try lab.node(name)
    return Station(
      name: name, namespace: SharedNamespace(try node.namespace.duplicate()), ipv4: node.address,
      seenAs: node.published)
  }

  private func path(_ lab: Lab, _ client: String, _ server: String, _ port: UInt16) throws -> Path {
    Path(client: try station(lab, client), server: try station(lab, server), port: port)
  }

  /// The server of udp-rr takes requests only from where it is told that the client is seen.
  @Test(arguments: [("a1", "b1"), ("b1", "a1")])
  func thePublishedPortLeadsToTheContainerAndTheClientIsMasqueraded(client: String, server: String) throws {
    let lab = try Lab.make(LabSpec(.nat))
    #expect("\(try station(lab, "b1").seenAs!)" == "198.18.0.2")
    for port: UInt16 in [20_000, 59_999] {
      let path = try path(lab, client, server, port)
      let datagrams = try UDPRoundTrip(size: 64, timing: timing).run(path)
      #expect(datagrams.requests > 0 && datagrams.timeouts == 0)
      #expect(try TCPRoundTrip(size: 64, timing: timing).run(path).requests > 0)
    }
    var direct = try path(lab, client, server, 20_000)
    direct.client.seenAs = nil
    let unmasked = try UDPRoundTrip(size: 64, timing: timing).run(direct)
    #expect(unmasked.timeouts == unmasked.requests, "nothing comes from the container's own address")
  }

  /// A bridge as it ships is Docker's: its containers reach each other by the accepting rule at the end of FORWARD.
  @Test func aBridgeAsItShipsHasDockersChains() throws {
    let lab = try Lab.make(LabSpec(.bridge, asShipped: true))
    let path = try path(lab, "a1", "a2", 20_000)
    #expect(try UDPRoundTrip(size: 64, timing: timing).run(path).requests > 0)
    #expect(try TCPRoundTrip(size: 64, timing: timing).run(path).requests > 0)
    let rules = try lab.node("hostA").run { try sh("nft list chain ip filter FORWARD") }
    #expect(rules.contains("policy drop"))
    let accepting = rules.split(separator: "\n").first { $0.contains("iifname \"br0\" oifname \"br0\"") }
    #expect(accepting?.contains("counter packets 0 ") == false, "\(rules)")
  }

  @Test func portsThatAreNotPublishedAreTheHosts() throws {
    let lab = try Lab.make(LabSpec(.nat))
    var path = try path(lab, "a1", "hostB", 4000)
    #expect(try UDPRoundTrip(size: 64, timing: timing).run(path).timeouts == 0)
    path = try self.path(lab, "a1", "b1", 19_999)
    #expect(throws: Failure.self) { try TCPRoundTrip(size: 64, timing: timing).run(path) }
  }

  @Test func eachContainerHasPortsOfItsOwn() throws {
    let spec = LabSpec(.nat, containers: 3)
    let ranges = (1...3).map(spec.publishedPorts)
    #expect(ranges[0].lowerBound == 20_000 && ranges[2].upperBound <= 59_999)
    #expect(ranges[0].upperBound < ranges[1].lowerBound && ranges[1].upperBound < ranges[2].lowerBound)
    let lab = try Lab.make(spec)
    for (container, range) in zip(["b1", "b2", "b3"], ranges) {
      for port in [range.lowerBound, range.upperBound] {
        #expect(try TCPRoundTrip(size: 1, timing: timing).run(path(lab, "a3", container, port)).requests > 0)
      }
    }
  }

  @Test func privateSubnetsAreNotReachable() throws {
    let lab = try Lab.make(LabSpec(.nat))
    try lab.node("a1").run {
      #expect(throws: ShellFailure.self) { try sh("ping -c1 -W0.3 -n -q 198.19.128.1") }
      // Its own host's side of the bridge it does reach, and what that routes.
      _ = try sh("ping -c1 -W2 -n -q 198.19.0.254")
      _ = try sh("ping -c1 -W2 -n -q 198.18.0.2")
    }
  }

  @Test func rulesGoWithTheLab() throws {
    let lab = try Lab.make(LabSpec(.nat))
    func links() throws -> Int {
      try lab.host(.a).run { try FileText.read("/proc/thread-self/net/dev").split(separator: "\n").count }
    }
    let before = try links()
    try lab.tearDown()
    #expect(try links() == before - 3, "wire, bridge and port")
    #expect(try lab.host(.a).run { try NetfilterReader().rules() } == Ruleset())
  }
}
