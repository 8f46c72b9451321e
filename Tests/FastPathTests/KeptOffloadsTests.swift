// SPDX-License-Identifier: Apache-2.0
import FastPath
import Foundation
import LinuxSystem
import TestSupport
import Testing

/// Tier `afxdp` on containers that keep their offloads: nothing of them is changed, and what they leave to
/// their devices is completed.
@Suite(.serialized, .enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
struct KeptOffloadsTests {
  private func features(_ container: TestOverlay.Container) throws -> Set<String> {
    // The kernel itself takes segmentation away while a program sits at the other end.
    Set(
      try container.node.shell("ethtool -k eth0").components(separatedBy: "\n").filter {
        !$0.contains("segmentation") && !$0.contains("tx-gso-")
      })
  }

  @Test(arguments: ["noudpcsum", "udpcsum"])
  func checksumsAreCompletedAndNothingIsChanged(device: String) throws {
    let overlay = try TestOverlay(vxlan: device, containers: ["a1", "a2", "b1"])
    for (from, to) in [("a1", "b1"), ("a1", "a2")] { try overlay.ping(from, to) }
    let (a1, a2, b1) = (overlay.containers["a1"]!, overlay.containers["a2"]!, overlay.containers["b1"]!)
    let before = try features(a1)
    #expect(before.contains { $0.contains("tx-checksum-ip-generic: on") })
    let services = try ["a", "b"].map { host in
      try overlay.start(host) {
        $0.tier = .afxdp
        $0.keepsOffloads = true
      }
    }
    // A redirect needs GRO at the container's end, which would be a change.
    #expect(services[0].obtained == "afxdp copy, adaptive")
    let during = try features(a1)
    #expect(during.symmetricDifference(before) == [])
    for (from, to) in [(a1, b1), (b1, a1), (a1, a2)] {
      #expect(try Transfer(from: from, to: to, bytes: 4 << 20).finish() == .intact)
    }
    let stats = try services[0].stats()
    let port = try #require(stats.ports.first { $0.name == "va1" })
    #expect(port.forwarded["encapsulated"]?.bytes ?? 0 > 4 << 20)
    #expect(port.forwarded["local"]?.bytes ?? 0 > 4 << 20)
    for node in [a1.node, a2.node, b1.node] + overlay.hosts.values { #expect(try node.checksumErrors() == 0) }
    for service in services { try service.stop() }
    #expect(try features(a1) == before)
  }

  /// Its inner checksums are unfinished where no raw frame shows it.
  @Test func aTunnelOfTheContainersOwnIsTheKernels() throws {
    let overlay = try TestOverlay(ipv6: false)
    try overlay.ping("a1", "b1")
    let (a1, b1) = (overlay.containers["a1"]!, overlay.containers["b1"]!)
    for (one, other) in [(a1, b1), (b1, a1)] {
      try one.node.shell(
        "ip link add own type vxlan id 7 local 198.19.0.\(one.number) remote 198.19.0.\(other.number) dstport 4790 dev eth0 noudpcsum"
      )
      try one.node.shell("ip link set own up")
      try one.node.shell("ip addr add 198.19.64.\(one.number)/24 dev own")
      // What the test's transfer speaks to lies at the far end of the tunnel.
      try one.node.shell("ip addr add 198.19.0.\(one.number + 50)/32 dev lo")
      try one.node.shell(
        "ip route add 198.19.0.\(other.number + 50)/32 via 198.19.64.\(other.number) src 198.19.0.\(one.number + 50)"
      )
    }
    func service(_ host: String) throws -> FastPathService {
      try overlay.start(host) {
        $0.tier = .afxdp
        $0.keepsOffloads = true
      }
    }
    let services = try ["a", "b"].map(service)
    let far = TestOverlay.Container(
      node: b1.node, host: "b", port: "", number: b1.number + 50, mac: b1.mac)
    #expect(try Transfer(from: a1, to: far, bytes: 4 << 20).finish() == .intact)
    let port = try #require(try services[0].stats().ports.first { $0.name == "va1" })
    // So much at least before the port is given back for it.
    #expect(port.passed["checksum"]?.bytes ?? 0 > 500_000)
    #expect(try b1.node.checksumErrors() == 0)
    for service in services { try service.stop() }
  }

  @Test func whatATierCannotDoAsAskedIsRefused() throws {
    let overlay = try TestOverlay()
    for tier in [Tier.xdp, .tc] {
      let refusal = #expect(throws: Failure.self) {
        try overlay.start("a") {
          $0.tier = tier
          $0.keepsOffloads = true
        }
      }
      #expect(refusal?.status == .usage)
    }
    for tier in [Tier.afxdp, .tc] {
      let refusal = #expect(throws: Failure.self) {
        try overlay.start("a") {
          $0.tier = tier
          $0.mode = .generic
        }
      }
      #expect(refusal?.status == .usage)
    }
  }
}
