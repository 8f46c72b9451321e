// SPDX-License-Identifier: Apache-2.0
import Glibc
import Lab
import LinuxSystem
import TestSupport
import Testing

@testable import FastPath

/// kill -9 of what serves a routed overlay by tier xdp: the kernel routes on at once, and the next `down` gives the far ends
/// of the veths their settings back. Uses the built command, since a process has to die.
@Suite(.serialized, .enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
struct RoutedDeathTests {
  /// That ends by itself; returns its number.
  static func startProcess() throws -> String {
    let text = try shell("sh", "-c", "sleep 60 > /dev/null 2>&1 & echo $!")
    return text.filter(\.isNumber)
  }

  @Test func theNextDownRestores() throws {
    let lab = try RoutedLab(.flannel)
    #expect(try lab.answers("a1", "b1") == 5)
    // Another process finds namespaces by the processes in them.
    let holders = try ["a1", "hostA", "hostB"].map { try #require(pid_t(try lab.node($0).run { try Self.startProcess() })) }
    defer { for pid in holders { kill(pid, SIGKILL) } }
    let before = try lab.state()
    let (culvert, path) = (try DeathTests.culvert, lab.host(.a).reference)
    try shell(
      culvert, "up", "--overlay", "flannel.1", "--netns", path, "--tier", "xdp", "--carry-bulk", "--detach")
    let pid = try #require(try Overlays.directories(namespace: path, all: false).first?.owner).pid
    // Also where a line below fails.
    defer { _ = try? shell(culvert, "down", "--netns", path) }
    #expect(try lab.shell("hostA", "ip link").contains("xdp"))
    let served = try lab.shell("a1", "ethtool -k eth0")
    #expect(served.contains("tx-checksum-ip-generic: off"))
    #expect(try lab.answers("a1", "b1") == 5)
    kill(pid, SIGKILL)
    #expect(eventually { Owner.startTime(of: pid) == nil })
    #expect(try !lab.shell("hostA", "ip link").contains("xdp"))
    #expect(try lab.answers("a1", "b1") == 5)
    #expect(try lab.shell("a1", "ethtool -k eth0").contains("tx-checksum-ip-generic: off"))
    let said = try shell(culvert, "down", "--netns", path)
    #expect(said.contains("restored its veth peer eth0"))
    for (one, other) in zip(before, try lab.state()) where !one.contains("REACHABLE") && !one.contains("STALE") {
      #expect(one == other)
    }
    #expect(try lab.answers("a1", "b1") == 5)
  }

  /// Nobody reads the log of one that is dead and replaced.
  @Test func theNextUpTakesItsLogAway() throws {
    let lab = try RoutedLab(.flannel)
    let holder = try #require(pid_t(try lab.node("hostA").run { try Self.startProcess() }))
    defer { kill(holder, SIGKILL) }
    let (culvert, path) = (try DeathTests.culvert, lab.host(.a).reference)
    defer { _ = try? shell(culvert, "down", "--netns", path) }
    func start() throws -> pid_t {
      try shell(culvert, "up", "--overlay", "flannel.1", "--netns", path, "--detach")
      return try #require(try Overlays.directories(namespace: path, all: false).first?.owner).pid
    }
    let first = try start()
    kill(first, SIGKILL)
    #expect(eventually { Owner.startTime(of: first) == nil })
    #expect(access(Owner.logPath(of: first), F_OK) == 0)
    let second = try start()
    #expect(access(Owner.logPath(of: first), F_OK) != 0 && access(Owner.logPath(of: second), F_OK) == 0)
  }
}
