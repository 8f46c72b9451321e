import Foundation
import LinuxSystem
import TestSupport
import Testing

// SPDX-License-Identifier: Apache-2.0
@testable import FastPath

/// What `up` changes, whom it serves, and that it leaves nothing behind.
@Suite(.serialized, .enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
struct LifecycleTests {
  func features(_ overlay: TestOverlay, _ container: String) throws -> [String: String] {
    let text = try overlay.containers[container]!.node.shell("ethtool -k eth0")
    let pairs = text.split(separator: "\n").compactMap { line -> (String, String)? in
      let parts = line.split(separator: ":")
      guard parts.count == 2 else { return nil }
      return (
        parts[0].trimmingCharacters(in: .whitespaces),
        String(parts[1].split(separator: " ").first ?? "")
      )
    }
    return Dictionary(pairs, uniquingKeysWith: { first, _ in first })
  }

  func port(_ name: String, _ service: FastPathService) throws -> Status.Port? {
    try service.status().ports.first { $0.name == name }
  }

  @Test(arguments: ["br0", "vx0", "va1"]) func whatTheOverlayIsMadeOfIsNoUplink(name: String) throws {
    let overlay = try TestOverlay()
    let refusal = #expect(throws: Failure.self) { try overlay.start("a") { $0.uplink = name } }
    #expect(refusal?.subject == name && refusal?.status == .usage)
  }

  @Test func stopRestoresEverything() throws {
    let overlay = try TestOverlay()
    let before = try features(overlay, "a1")
    let service = try overlay.start("a")
    #expect(try features(overlay, "a1")["tx-checksum-ip-generic"] == "off")
    #expect(try features(overlay, "a1")["generic-receive-offload"] == "on")
    let directory = try #require(RuntimeDirectory.all().first { $0.owner?.pid == getpid() })
    #expect(try overlay.hosts["a"]!.shell("ip link show dev eth0").contains("xdp"))
    try service.stop()
    #expect(try features(overlay, "a1") == before)
    #expect(try !overlay.hosts["a"]!.shell("ip link").contains("xdp"))
    #expect(!FileManager.default.fileExists(atPath: directory.path))
    #expect(throws: Failure.self) { try service.status() }
  }

  @Test func aSecondOwnerIsRefusedAndNamesTheFirst() throws {
    let overlay = try TestOverlay()
    let service = try overlay.start("a")
    let refusal = #expect(throws: Failure.self) { try overlay.start("a") }
    #expect(refusal?.advice?.contains("\(getpid())") == true)
    try service.stop()
  }

  @Test(arguments: Tier.allCases)
  func containersThatComeAreAttachedAndThoseThatGoDetachQuietly(tier: Tier) throws {
    let overlay = try TestOverlay()
    let service = try overlay.start("a") { $0.tier = tier }
    let late = try overlay.addContainer("a2")
    #expect(try eventually { try port("va2", service)?.tier == tier.rawValue })
    try overlay.ping("a2", "b1")
    try overlay.ping("a2", "b1", count: 3)
    #expect(
      try eventually {
        try service.stats().ports.first { $0.name == "va2" }?.forwarded["encapsulated"] != nil
      })
    try overlay.ping("a2", "a1")
    try overlay.ping("a2", "a1", count: 3)
    #expect(try service.stats().ports.first { $0.name == "va2" }?.forwarded["local"] != nil)
    try overlay.hosts["a"]!.shell("ip link del \(late.port)")
    #expect(try eventually { try port("va2", service) == nil })
    try overlay.ping("a1", "b1", count: 2)
    try service.stop()
  }

  @Test func bridgeNetfilterKeepsTheOverlayWithTheKernelUntilBypassed() throws {
    let overlay = try TestOverlay()
    try overlay.filterBridged(true, on: "a")
    try overlay.ping("a1", "b1")
    var service = try overlay.start("a")
    try overlay.ping("a1", "b1", count: 3)
    #expect(try service.status().ports[0].reason?.contains("bridge-nf-call-iptables") == true)
    #expect(try service.stats().ports.allSatisfy { $0.forwarded.isEmpty })
    try service.stop()
    service = try overlay.start("a") { $0.bypassPolicy = true }
    try overlay.ping("a1", "b1", count: 3)
    #expect(try service.stats().ports.contains { !$0.forwarded.isEmpty })
    try service.stop()
  }

  @Test func aPolicyThatAppearsWhileRunningIsNoticed() throws {
    let overlay = try TestOverlay()
    try overlay.filterBridged(true, on: "a")
    try overlay.setNetfilter(false, on: "a")
    let service = try overlay.start("a")
    try overlay.ping("a1", "b1", count: 3)
    func setNetfilter(_ value: String) throws {
      try overlay.hosts["a"]!.run {
        try value.write(
          toFile: "/proc/sys/net/bridge/bridge-nf-call-iptables", atomically: false, encoding: .utf8)
      }
    }
    try setNetfilter("1")
    #expect(try eventually { try service.status().ports[0].reason != nil })
    let before = try service.stats().ports.map { $0.forwarded }
    try overlay.ping("a1", "b1", count: 3)
    #expect(try service.stats().ports.map { $0.forwarded } == before)
    try setNetfilter("0")
    #expect(try eventually { try service.status().ports[0].reason == nil })
    try overlay.ping("a1", "b1", count: 3)
    #expect(try service.stats().ports.map { $0.forwarded } != before)
    try service.stop()
  }

  @Test func anIPsecPolicyKeepsTheUplinkWithTheKernel() throws {
    let overlay = try TestOverlay()
    let service = try overlay.start("a")
    do {
      try overlay.hosts["a"]!.shell(
        "ip xfrm policy add src 198.18.0.1/32 dst 198.18.0.2/32 dir out tmpl src 198.18.0.1 dst 198.18.0.2 "
          + "proto esp mode transport")
    } catch is ShellFailure {
      // A kernel without IPsec has no such policy to bypass.
      return try service.stop()
    }
    #expect(try eventually { try service.status().ports[0].reason?.contains("IPsec") == true })
    try service.stop()
  }

  @Test func readingTheTablesAnewChangesNothingForThePackets() throws {
    let overlay = try TestOverlay()
    let service = try overlay.start("a")
    try overlay.ping("a1", "b1", count: 3)
    let before = try service.stats().ports[1].forwarded["encapsulated"]?.packets ?? 0
    try service.resynchronise()
    #expect(try service.status().tunnels.map(\.reason) == [nil])
    try overlay.ping("a1", "b1", count: 5)
    #expect(try service.stats().ports[1].forwarded["encapsulated"]?.packets ?? 0 >= before + 5)
    try service.stop()
  }

  @Test(arguments: ["br0", "vx0", "eth0"]) func withoutItsDevicesTheFastPathEndsAndSaysSo(device: String)
    throws
  {
    let overlay = try TestOverlay()
    let service = try overlay.start("a")
    try overlay.hosts["a"]!.shell("ip link del \(device)")
    let failure = #expect(throws: Failure.self) { try service.waitUntilEnded() }
    #expect(failure?.advice?.contains(device == "eth0" ? "gone" : "\(device) is gone") == true)
    #expect(try features(overlay, "a1")["tx-checksum-ip-generic"] == "on")
    #expect(RuntimeDirectory.all().allSatisfy { $0.owner?.pid != getpid() })
  }

  @Test func aPolicyOnAPortKeepsThatPortWithTheKernel() throws {
    let overlay = try TestOverlay(containers: ["a1", "a2", "b1"])
    try overlay.hosts["a"]!.shell("ip link set va2 type bridge_slave isolated on")
    let service = try overlay.start("a")
    #expect(try port("va1", service)?.tier == "xdp")
    #expect(try port("va2", service)?.tier == nil)
    #expect(try port("va2", service)?.reason?.contains("isolated") == true)
    for name in ["a1", "a2"] { try overlay.ping(name, "b1", count: 3) }
    // A policy that goes away, or comes, is followed.
    try overlay.hosts["a"]!.shell("ip link set va2 type bridge_slave isolated off")
    #expect(try eventually { try port("va2", service)?.tier == "xdp" })
    try overlay.hosts["a"]!.shell("ip link set va1 type bridge_slave isolated on")
    #expect(try eventually { try port("va1", service)?.tier == nil })
    for name in ["a1", "a2"] { try overlay.ping(name, "b1", count: 3) }
    try service.stop()
  }

  @Test func aContainerThatSwitchesItsOffloadsBackOnGoesToTheKernel() throws {
    let overlay = try TestOverlay()
    let service = try overlay.start("a")
    try overlay.containers["a1"]!.node.shell("ethtool -K eth0 tx on")
    #expect(try eventually { try port("va1", service)?.reason?.contains("tx-checksum") == true })
    try overlay.ping("a1", "b1", count: 2)
    try service.stop()
    #expect(try features(overlay, "a1")["tx-checksum-ip-generic"] == "on")
  }

  /// A veth without NAPI at its far end would lose every redirected frame.
  @Test func anUplinksFarEndIsSetUpLikeAContainersAndRestored() throws {
    let overlay = try TestOverlay(wire: .partialChecksums)
    try overlay.hosts["b"]!.shell("ethtool -K eth0 gro off")
    let service = try overlay.start("a")
    let during = try overlay.hosts["b"]!.shell("ethtool -k eth0")
    #expect(during.contains("generic-receive-offload: on"))
    #expect(during.contains("tx-checksum-ip-generic: off"))
    try overlay.ping("a1", "b1", count: 3)
    // Whoever switches it back finds the overlay carried by the kernel within a second or so.
    try overlay.hosts["b"]!.shell("ethtool -K eth0 gro off")
    #expect(try eventually { try service.status().ports[0].reason?.contains("rx-gro off") == true })
    try overlay.ping("a1", "b1", count: 3)
    // Given back, it is as it was; after a pause it is taken again.
    let back = try overlay.hosts["b"]!.shell("ethtool -k eth0")
    #expect(back.contains("generic-receive-offload: off"))
    #expect(back.contains("tx-checksum-ip-generic: on"))
    #expect(try eventually(30) { try service.status().ports[0].reason == nil })
    try overlay.ping("a1", "b1", count: 3)
    try service.stop()
    let after = try overlay.hosts["b"]!.shell("ethtool -k eth0")
    #expect(after.contains("generic-receive-offload: off"))
    #expect(after.contains("tx-checksum-ip-generic: on"))
  }

  @Test func aProgramThatIsAttachedAlreadyIsNotReplaced() throws {
    let overlay = try TestOverlay()
    let first = try overlay.start("a")
    // The same uplink through another name: its VXLAN device's bridge is locked, the device is busy.
    try overlay.hosts["a"]!.shell("ip link add br1 type bridge")
    try overlay.hosts["a"]!.shell(
      "ip link add vx1 type vxlan id 43 local 198.18.0.1 remote 198.18.0.2 dstport 4790 dev eth0")
    try overlay.hosts["a"]!.shell("ip link set vx1 master br1 up")
    try overlay.hosts["a"]!.shell("ip link set br1 up")
    // With somebody on either side there is something to carry.
    let other = try TestOverlay.Node()
    try overlay.hosts["a"]!.shell(
      "ip link add vc1 mtu 1450 type veth peer name eth0 mtu 1450 netns \(other.path)")
    try other.shell("ip link set eth0 up")
    try overlay.hosts["a"]!.shell("ip link set vc1 master br1 up")
    try overlay.hosts["a"]!.shell("bridge fdb add 02:00:5e:00:0c:01 dev vc1 master static")
    try overlay.hosts["a"]!.shell("bridge fdb add 02:00:5e:00:0c:02 dev vx1 master static")
    let refusal = #expect(throws: Failure.self) { try overlay.start("a") { $0.overlay = "br1" } }
    #expect(refusal?.errno == .resourceBusy)
    try first.stop()
  }

  @Test(arguments: ["eth9", "lo", "eth0"]) func aWrongOverlayIsAClearError(name: String) throws {
    let overlay = try TestOverlay()
    let refusal = #expect(throws: Failure.self) { try overlay.start("a") { $0.overlay = name } }
    #expect(refusal?.advice != nil)
    #expect(refusal?.subject == name)
  }
}
