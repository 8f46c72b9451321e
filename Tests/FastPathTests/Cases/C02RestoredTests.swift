// SPDX-License-Identifier: Apache-2.0
import FastPath
import Glibc
import LinuxSystem
import TestSupport
import Testing

/// What was changed is found again, whatever became of names, addresses and places since.
@Suite(.serialized, .enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
struct C02RestoredTests {

  enum Change: String, CaseIterable, Sendable {
    case hostsAddress, hostsName, containersAddress, containersName, leavesTheBridge
  }

  private func apply(_ change: Change, to overlay: TestOverlay) throws -> String {
    let (host, node) = (overlay.hosts["a"]!, overlay.containers["a1"]!.node)
    switch change {
    case .hostsAddress: try host.shell("ip link set va1 address 02:00:5e:00:99:01")
    case .hostsName:
      try host.shell("ip link set va1 down")
      try host.shell("ip link set va1 name other1")
      try host.shell("ip link set other1 up")
    case .containersAddress: try node.shell("ip link set eth0 address 02:00:5e:00:99:02")
    case .containersName:
      try node.shell("ip link set eth0 down")
      try node.shell("ip link set eth0 name net1")
      try node.shell("ip link set net1 up")
      return "net1"
    case .leavesTheBridge: try host.shell("ip link set va1 nomaster")
    }
    return "eth0"
  }

  @Test(arguments: Change.allCases, Tier.allCases) func offloadsAreAsBefore(change: Change, tier: Tier) throws
  {
    let overlay = try TestOverlay(ipv6: false)
    let node = overlay.containers["a1"]!.node
    let before = try node.features(of: "eth0")
    let service = try overlay.start("a") { $0.tier = tier }
    let name = try apply(change, to: overlay)
    try service.stop()
    let after = try node.features(of: name)
    #expect(after == before)
  }

  /// The same from the journal of one that was killed, by whoever comes next.
  @Test(arguments: Change.allCases) func alsoByTheNextAfterADeath(change: Change) throws {
    let overlay = try TestOverlay(ipv6: false)
    let node = overlay.containers["a1"]!.node
    let before = try node.features(of: "eth0")
    let path = overlay.hosts["a"]!.path
    let culvert = try DeathTests.culvert
    try shell(culvert, "up", "--overlay", "br0", "--netns", path, "--tier", "xdp", "--detach")
    let pid = try #require(try DeathTests().status(overlay, "a").first).pid
    kill(pid, SIGKILL)
    #expect(eventually { Owner.startTime(of: pid) == nil })
    let name = try apply(change, to: overlay)
    try shell(culvert, "down", "--netns", path)
    let after = try node.features(of: name)
    #expect(after == before)
  }

  /// Another namespace, where its number is another too since its own is taken there.
  @Test(arguments: Tier.allCases) func alsoInAnotherNamespaceByAnotherNumber(tier: Tier) throws {
    let overlay = try TestOverlay(ipv6: false)
    let node = overlay.containers["a1"]!.node
    let before = try node.features(of: "eth0")
    let index = try node.run { if_nametoindex("eth0") }
    let other = try TestNode()
    for number in 0...Int(index) { try other.shell("ip link add x\(number) type veth peer name y\(number)") }
    let service = try overlay.start("a") { $0.tier = tier }
    try node.shell("ip link set eth0 netns \(other.path)")
    #expect(try other.run { if_nametoindex("eth0") } != index)
    try service.stop()
    #expect(try other.features(of: "eth0") == before)
  }
}
