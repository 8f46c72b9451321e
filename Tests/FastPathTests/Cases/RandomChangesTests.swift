// SPDX-License-Identifier: Apache-2.0
import FastPath
import Foundation
import LinuxSystem
import TestSupport
import Testing

/// Twins, one by the kernel alone, one with a tier on host a, to which the same changes are made, drawn at random, some
/// at once: whoever reaches whom by the kernel alone reaches it with the tier, and nobody else does.
/// CULVERT_TEST_CHANGES is how many (6).
@Suite(.serialized, .enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
struct RandomChangesTests {
  @Test(arguments: Tier.allCases) func whatIsReachedIsWhatTheKernelReaches(tier: Tier) throws {
    let twins = try Twins(tier)
    let service = try twins.ours.start("a") { $0.tier = tier }
    let before = try service.stats().forwarded.packets
    try twins.compare(after: ["nothing"])
    #expect(try service.stats().forwarded.packets > before + 10)

    var random = SplitMix(state: testSeed &+ UInt64(Tier.allCases.firstIndex(of: tier)!))
    var ahead = HostChange.all.shuffled(using: &random)
    var active: [HostChange] = []
    let count = ProcessInfo.processInfo.environment["CULVERT_TEST_CHANGES"].flatMap(Int.init) ?? 6
    for _ in 0..<count {
      if active.count == 2 || (!active.isEmpty && Bool.random(using: &random)) {
        let change = active.remove(at: Int.random(in: active.indices, using: &random))
        try twins.make(change.undo)
        try twins.compare(after: ["undone: \(change.name)"] + active.map(\.name))
      } else {
        if ahead.isEmpty { ahead = HostChange.all.shuffled(using: &random) }
        let change = ahead.removeLast()
        guard !active.contains(where: { $0.name == change.name }) else { continue }
        try twins.make(change.command)
        active.append(change)
        try twins.compare(after: active.map(\.name))
      }
    }
    for change in active.reversed() { try twins.make(change.undo) }
    try twins.compare(after: ["all undone"])
    try service.stop()
  }
}

/// Something that an operator does to host `a` or its container a1, and how it is undone.
struct HostChange: Sendable {
  var name: String
  var command: String
  var undo: String
  init(_ name: String, _ command: String, undo: String) { (self.name, self.command, self.undo) = (name, command, undo) }

  /// A rule in a table of its own.
  private static func rule(_ family: String, _ hook: String, _ rule: String) -> HostChange {
    HostChange(
      "\(family) \(hook): \(rule)",
      "nft 'add table \(family) t; add chain \(family) t c { type filter hook \(hook); }; add rule \(family) t c \(rule)'",
      undo: "nft 'delete table \(family) t'")
  }

  private static func pair(_ name: String, _ command: String, _ on: String, _ off: String) -> HostChange {
    HostChange(name, "\(command) \(on)", undo: "\(command) \(off)")
  }

  static let all: [HostChange] = [
    pair("port: down", "ip link set va1", "down", "up"),
    pair("bridge: down", "ip link set br0", "down", "up"),
    pair("port: out of the bridge", "ip link set va1", "nomaster", "master br0"),
    pair("device: out of the bridge", "ip link set vx0", "nomaster", "master br0"),
    pair("port: isolated", "bridge link set dev va1 isolated", "on", "off"),
    HostChange(
      "port and device: isolated", "bridge link set dev va1 isolated on; bridge link set dev vx0 isolated on",
      undo: "bridge link set dev va1 isolated off; bridge link set dev vx0 isolated off"),
    pair("port: blocking", "bridge link set dev va1 state", "4", "3"),
    pair("device: blocking", "bridge link set dev vx0 state", "4", "3"),
    pair("port: hairpin", "bridge link set dev va1 hairpin", "on", "off"),
    pair("device: no flooding", "bridge link set dev vx0 flood", "off", "on"),
    pair("bridge: VLAN filtering", "ip link set br0 type bridge vlan_filtering", "1", "0"),
    pair("device: TTL", "ip link set vx0 type vxlan ttl", "9", "0"),
    pair("device: TOS", "ip link set vx0 type vxlan tos", "0x20", "0"),
    pair("device: DF", "ip link set vx0 type vxlan df", "set", "unset"),
    pair("device: MTU", "ip link set vx0 mtu", "1200", "1450"),
    pair("port: MTU", "ip link set va2 mtu", "1200", "1450"),
    pair("default TTL", "sysctl -qw", "net.ipv4.ip_default_ttl=77", "net.ipv4.ip_default_ttl=64"),
    pair("reverse path", "sysctl -qw", "net.ipv4.conf.all.rp_filter=1", "net.ipv4.conf.all.rp_filter=0"),
    pair("route: blackhole", "ip route", "add blackhole 198.18.0.2", "del blackhole 198.18.0.2"),
    pair("rule: blackhole", "ip rule", "add to 198.18.0.2 blackhole priority 5", "del priority 5"),
    pair("rule: of the port", "ip rule", "add ipproto udp dport 4789 blackhole priority 6", "del priority 6"),
    HostChange(
      "neighbour: wrong", "ip neigh replace 198.18.0.2 lladdr 02:00:5e:00:77:77 dev eth0 nud permanent",
      undo: "ip neigh del 198.18.0.2 dev eth0"),
    HostChange("neighbours: forgotten", "ip neigh flush all", undo: ""),
    HostChange("FDB: forgotten", "ip link set br0 type bridge fdb_flush", undo: ""),
    HostChange("uplink: down and up", "ip link set eth0 down; ip link set eth0 up", undo: ""),
    HostChange(
      "port: renamed", "ip link set va1 down; ip link set va1 name pp; ip link set pp up",
      undo: "ip link set pp down; ip link set pp name va1; ip link set va1 up"),
    pair("xfrm: block", "ip xfrm policy", "add src 198.18.0.1 dst 198.18.0.2 dir out action block", "flush"),
    rule("ip", "input priority 0", "udp dport 4789 drop"),
    rule("ip", "output priority 0", "udp dport 4789 drop"),
    rule("ip", "prerouting priority -300", "ip saddr 198.18.0.2 drop"),
    rule("bridge", "forward priority 0", "iifname \"va1\" drop"),
    rule("bridge", "prerouting priority -300", "ether type ip6 drop"),
    rule("bridge", "postrouting priority 0", "oifname \"va2\" drop"),
    rule("netdev", "ingress device va1 priority 0", "ip protocol icmp drop"),
    rule("netdev", "ingress device eth0 priority 0", "udp dport 4789 drop"),
    rule("netdev", "egress device vx0 priority 0", "ip protocol icmp drop"),
  ]
}

private struct Twins {
  let kernel: TestOverlay
  let ours: TestOverlay

  init(_ tier: Tier) throws {
    func make() throws -> TestOverlay {
      let overlay = try TestOverlay(containers: ["a1", "a2", "b1"])
      for host in overlay.hosts.values { try host.set("net/ipv4/conf/all/rp_filter", "0") }
      for (one, other) in [("a1", "b1"), ("a2", "b1"), ("a1", "a2")] { try overlay.ping(one, other) }
      return overlay
    }
    (kernel, ours) = (try make(), try make())
  }

  /// The same of both; what one refuses the other does too.
  func make(_ command: String) throws {
    guard !command.isEmpty else { return }
    let said = try [kernel, ours].map { overlay in
      try overlay.hosts["a"]!.run { try shell(["sh", "-c", "(\(command)) 2>&1 || true"]) }
    }
    #expect(said[0] == said[1], "\(command)")
  }

  func compare(after changes: [String], sourceLocation: SourceLocation = #_sourceLocation) throws {
    var seen: (kernel: Set<String>, ours: Set<String>) = ([], [])
    let isSame = try eventually(12) {
      seen = try reached()
      return seen.kernel == seen.ours
    }
    let (lost, gained) = (seen.kernel.subtracting(seen.ours).sorted(), seen.ours.subtracting(seen.kernel).sorted())
    #expect(
      isSame, "after \(changes): lost \(lost), reached by the tier alone \(gained)", sourceLocation: sourceLocation)
  }

  /// Who gets an answer from whom, at the same time in both.
  private func reached() throws -> (kernel: Set<String>, ours: Set<String>) {
    nonisolated(unsafe) var other: Result<Set<String>, any Error>?
    nonisolated(unsafe) let twin = kernel
    let thread = try DedicatedThread { other = Result { try Self.reached(twin) } }
    defer { thread.join() }
    let ours = try Self.reached(ours)
    thread.join()
    return (try other!.get(), ours)
  }

  private static func reached(_ overlay: TestOverlay) throws -> Set<String> {
    var script = ""
    for (from, to) in [("a1", "b1"), ("b1", "a1"), ("a1", "a2"), ("b1", "a2")] {
      let (node, end) = (overlay.containers[from]!.node, overlay.containers[to]!)
      for (address, size) in [(end.ipv4, 56), (end.ipv4, 1300), (end.ipv6, 56)] {
        let enter = "nsenter --net=\(node.path)"
        script += "(\(enter) ping -n -q -c 4 -i 0.02 -W 0.3 -s \(size) \(address) | grep -q ' 0 received' "
        script += "|| echo '\(from) to \(address) \(size)') & "
      }
    }
    // dash waits for SIGCHLD, which a thread of the tests may have blocked.
    return Set(try shell(["bash", "-c", script + "wait"]).split(separator: "\n").map(String.init))
  }
}
