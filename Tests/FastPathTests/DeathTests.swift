// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import FastPath
import Foundation
import Glibc
import LinuxSystem
import Netlink
import TestSupport
import Testing

/// kill -9: the kernel's path carries on at once, and the next `up` or `down` restores
/// from the journal. Uses the built command, since a process has to die.
@Suite(.serialized, .enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
struct DeathTests {
  /// The `culvert` that was built beside this test.
  static var culvert: String {
    get throws {
      let maps = try String(contentsOfFile: "/proc/self/maps", encoding: .utf8)
      let image = maps.split(separator: "\n").compactMap { line -> String? in
        guard let start = line.firstIndex(of: "/"), line.hasSuffix(".xctest") else { return nil }
        return String(line[start...])
      }.first
      let directory = try #require(image.map { URL(fileURLWithPath: $0).deletingLastPathComponent().path })
      return directory + "/culvert"
    }
  }

  struct Running: Decodable {
    var pid: Int32
    var state: String
    var changes: [String]
  }

  func status(_ overlay: TestOverlay, _ host: String) throws -> [Running] {
    let text: String
    do {
      text = try shell(try Self.culvert, "status", "--json", "--netns", overlay.hosts[host]!.path)
    } catch let failure as ShellFailure where [1, 69].contains(failure.status) {
      // Not everything is well; what is there is said all the same.
      text = failure.output
    }
    return try JSONDecoder().decode([Running].self, from: Data(text.utf8))
  }

  func up(_ overlay: TestOverlay, _ host: String, _ options: [String] = []) throws -> Int32 {
    let basic = ["up", "--overlay", "br0", "--netns", overlay.hosts[host]!.path, "--detach"]
    let tier = options.contains("--tier") ? [] : ["--tier", "xdp"]
    // A port that sends bulk TCP is otherwise given back, with its changes.
    let bulk = options.contains("tc") ? [] : ["--carry-bulk"]
    try shell([try Self.culvert] + basic + tier + bulk + options)
    return try #require(try status(overlay, host).first).pid
  }

  /// A killed process stays in the table of processes until its parent looks, which may be never.
  @Test func downNeedsNobodyToReapTheDead() throws {
    let overlay = try TestOverlay(ipv6: false)
    let parent = Process()
    parent.executableURL = URL(fileURLWithPath: "/bin/bash")
    let path = overlay.hosts["a"]!.path
    // Its child's parent is a `sleep`, which waits for no child.
    parent.arguments = [
      "-c",
      "\(try Self.culvert) up --overlay br0 --netns \(path) --tier xdp > /dev/null 2>&1 & exec sleep 60",
    ]
    try parent.run()
    // Also where a line below fails: the fast path would outlive its parent.
    defer {
      _ = try? shell(Self.culvert, "down", "--netns", path)
      parent.terminate()
    }
    var running: Running?
    _ = try eventually(10) {
      running = try status(overlay, "a").first { $0.state == "ready" }
      return running != nil
    }
    let pid = try #require(running).pid
    kill(pid, SIGKILL)
    let said = try shell(try Self.culvert, "down", "--netns", path)
    #expect(said.contains("restored its veth peer eth0"))
    #expect(try status(overlay, "a").isEmpty)
    #expect(try shell("cat", "/proc/\(pid)/stat").contains(") Z "))
  }

  @Test func aTransferSurvivesAndTheNextDownRestores() throws {
    let overlay = try TestOverlay()
    try overlay.ping("a1", "b1")
    let (a, b) = (try up(overlay, "a"), try up(overlay, "b"))
    let transfer = try Transfer(
      from: overlay.containers["a1"]!, to: overlay.containers["b1"]!, bytes: 600 << 20)
    #expect(transfer.progress(atLeast: 20 << 20), "the transfer has begun")
    kill(a, SIGKILL)
    kill(b, SIGKILL)
    #expect(transfer.finish() == .intact)
    #expect(try status(overlay, "a").first?.state == "dead")
    #expect(try status(overlay, "a").first?.changes.isEmpty == false)
    #expect(
      try overlay.containers["a1"]!.node.shell("ethtool -k eth0").contains("tx-checksum-ip-generic: off"))
    #expect(try !overlay.hosts["a"]!.shell("ip link").contains("xdp"))
    let said = try shell(try Self.culvert, "down", "--netns", overlay.hosts["a"]!.path)
    #expect(said.contains("restored its veth peer eth0"))
    #expect(
      try overlay.containers["a1"]!.node.shell("ethtool -k eth0").contains("tx-checksum-ip-generic: on"))
    #expect(try status(overlay, "a").isEmpty)
    // The other side's next `up` restores before it changes anything, and its `down` restores again.
    let again = try up(overlay, "b")
    #expect(again != b)
    try overlay.ping("a1", "b1", count: 2)
    try shell(try Self.culvert, "down", "--netns", overlay.hosts["b"]!.path)
    #expect(
      try overlay.containers["b1"]!.node.shell("ethtool -k eth0").contains("tx-checksum-ip-generic: on"))
    #expect(
      try overlay.containers["b1"]!.node.shell("ethtool -k eth0").contains("generic-receive-offload: off"))
    #expect(!FileManager.default.fileExists(atPath: "/run/culvert/log/up-\(a).log"))
  }

  /// What a tier leaves behind when it is killed: nothing that touches a packet.
  @Test(arguments: [["--tier", "afxdp"], ["--tier", "tc"], ["--tier", "tc", "--without-tcx"]])
  func everyTierGivesThePacketsBackWhenItIsKilled(options: [String]) throws {
    let overlay = try TestOverlay()
    try overlay.ping("a1", "b1")
    let (a, b) = (try up(overlay, "a", options), try up(overlay, "b", options))
    let host = overlay.hosts["a"]!
    let isStub = options.contains("tc") && (options.contains("--without-tcx") || !TCXLink.isSupported())
    #expect(try host.shell("tc filter show dev va1 ingress").contains("culvert_stub") == isStub)
    let transfer = try Transfer(
      from: overlay.containers["a1"]!, to: overlay.containers["b1"]!, bytes: 300 << 20)
    #expect(transfer.progress(atLeast: 10 << 20), "the transfer has begun")
    kill(a, SIGKILL)
    kill(b, SIGKILL)
    #expect(transfer.finish() == .intact)
    for pid in [a, b] { #expect(eventually { Owner.startTime(of: pid) == nil }) }
    #expect(try status(overlay, "a").first?.state == "dead")
    #expect(try !host.shell("ip link").contains("xdp"))
    #expect(
      TCXQuery.programs(at: .ingress, of: try host.run { try RouteConnection().link(named: "va1").index })
        .isEmpty)
    // The filter is still there, and does nothing; the next `up` begins without it.
    #expect(try host.shell("tc filter show dev va1 ingress").contains("culvert_stub") == isStub)
    try overlay.ping("a1", "b1", count: 2)
    let again = try up(overlay, "a", options)
    #expect(again != a)
    try overlay.ping("a1", "b1", count: 2)
    for host in ["a", "b"] { try shell(try Self.culvert, "down", "--netns", overlay.hosts[host]!.path) }
    for device in ["va1", "eth0"] {
      #expect(try !host.shell("tc qdisc show dev \(device)").contains("clsact"))
    }
    #expect(
      try overlay.containers["a1"]!.node.shell("ethtool -k eth0").contains("tx-checksum-ip-generic: on"))
    #expect(try status(overlay, "a").isEmpty)
  }

  /// What was changed at the uplink is written down with the overlay that was first; the next time it is another.
  @Test func theUplinkIsRestoredBeforeAnyOverlayUsesIt() throws {
    let overlay = try TestOverlay(ipv6: false)
    try overlay.addDomain(.init(bridge: "br1", device: "vx1", vni: 43))
    for name in ["a2", "b2"] { _ = try overlay.addContainer(name, bridge: "br1") }
    for (from, to) in [("a1", "b1"), ("a2", "b2")] { try overlay.ping(from, to) }
    let first = try up(overlay, "a", ["--overlay", "br1"])
    func isChanged() throws -> Bool {
      try status(overlay, "a").contains { $0.changes.contains { $0.contains("veth peer of eth0") } }
    }
    #expect(try isChanged())
    kill(first, SIGKILL)
    #expect(eventually { Owner.startTime(of: first) == nil })
    try shell(
      try Self.culvert, "up", "--overlay", "br1", "--overlay", "br0", "--netns", overlay.hosts["a"]!.path,
      "--tier", "xdp", "--detach")
    #expect(try status(overlay, "a").count == 2)
    #expect(try isChanged(), "nothing was taken back under the uplink")
    #expect(try overlay.answers("a2", "b2") == 5)
    try shell(try Self.culvert, "down", "--netns", overlay.hosts["a"]!.path)
    #expect(try status(overlay, "a").isEmpty)
  }

  @Test(arguments: [SIGTERM, SIGINT]) func aSignalGivesThePacketsBackAndRestores(signal: Int32) throws {
    let overlay = try TestOverlay()
    let pid = try up(overlay, "a")
    #expect(
      try overlay.containers["a1"]!.node.shell("ethtool -k eth0").contains("tx-checksum-ip-generic: off"))
    kill(pid, signal)
    #expect(eventually { Owner.startTime(of: pid) == nil })
    #expect(try status(overlay, "a").isEmpty)
    #expect(
      try overlay.containers["a1"]!.node.shell("ethtool -k eth0").contains("tx-checksum-ip-generic: on"))
    #expect(try !overlay.hosts["a"]!.shell("ip link").contains("xdp"))
  }

  @Test func exitStatusesAreTheContracts() throws {
    let overlay = try TestOverlay()
    func exit(_ arguments: String...) throws -> Int32 { try exit(arguments) }
    func exit(_ arguments: [String]) throws -> Int32 {
      do {
        // One that does not end is a failure too, with timeout(1)'s status.
        try shell(["timeout", "20", try Self.culvert] + arguments)
        return 0
      } catch let failure as ShellFailure { return failure.status }
    }
    let namespace = overlay.hosts["a"]!.path
    #expect(try exit("up", "--overlay", "br9", "--netns", namespace) == 1)
    #expect(try exit("up", "--overlay", "eth0", "--netns", namespace) == 64)
    #expect(try exit("up", "--overlay", "br0", "--netns", namespace, "--tier", "warp") == 64)
    #expect(try exit("up", "--overlay", "br0", "--netns", namespace, "--tier", "hybrid") == 69)
    #expect(try exit("up", "--netns", namespace, "--workers", "2") == 64)
    #expect(try exit("up", "--netns", overlay.containers["a1"]!.node.path, "--detach") == 69)
    #expect(try exit("probe", "eth0", "--netns", namespace) == 0)
    #expect(try exit("probe", "eth9", "--netns", namespace) == 1)
    try overlay.filterBridged(true, on: "a")
    #expect(try exit("up", "--overlay", "br0", "--netns", namespace, "--detach") == 69)
    #expect(try exit("up", "--overlay", "br0", "--netns", namespace, "--detach", "--wait-for-traffic") == 0)
    #expect(try exit("down", "--netns", namespace) == 0)
    #expect(try exit("status", "--netns", "no-such-namespace") == 1)
  }
}
