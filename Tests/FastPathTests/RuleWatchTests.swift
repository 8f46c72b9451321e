// SPDX-License-Identifier: Apache-2.0
import Glibc
import LinuxSystem
import TestSupport
import Testing

@testable import FastPath
@testable import Netlink

@Suite(.enabled(if: mayUseKernel, Comment(rawValue: needsRoot)), .serialized)
struct RuleWatchTests {
  /// Seconds until the generation is another; nil where it stays for `patience`.
  private func secondsUntilChange(_ watch: RuleWatch, patience: Double = 3) throws -> Double? {
    let start = Clock.monotonicNanoseconds
    let before = watch.generation
    while Double(Clock.monotonicNanoseconds - start) < patience * 1e9 {
      let now = Clock.monotonicNanoseconds
      if watch.deadline <= now { try watch.tick(now: now) }
      var waiting = watch.descriptors.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
      if poll(&waiting, nfds_t(waiting.count), 20) > 0 { watch.handle() }
      if watch.generation != before { return Double(Clock.monotonicNanoseconds - start) / 1e9 }
    }
    return nil
  }

  private func inNamespace(_ body: (borrowing NetworkNamespace) throws -> Void) throws {
    try NetworkNamespace.makeAnonymous().run { try body(try NetworkNamespace.current()) }
  }

  @Test func rulesOfNFTablesAreAnnounced() throws {
    try inNamespace { namespace in
      try shell(["nft", "-f", "-"], input: "table inet t { chain f { type filter hook forward priority 0; }; }")
      let watch = try RuleWatch(in: namespace)
      #expect(try secondsUntilChange(watch, patience: 1.5) == nil)
      for change in [
        "add rule inet t f ip daddr 198.18.0.1 drop", "add set inet t s { type ipv4_addr; }",
        "add element inet t s { 198.18.0.1 }", "delete table inet t",
      ] {
        try shell(["nft"] + change.split(separator: " ").map(String.init))
        // No poll is in it.
        #expect(watch.descriptors.count == 1)
        var waiting = pollfd(fd: watch.descriptors[0], events: Int16(POLLIN), revents: 0)
        #expect(poll(&waiting, 1, 1_000) == 1, "\(change)")
        #expect(watch.handle(), "\(change)")
      }
      #expect(watch.generation == 4)
      #expect(!watch.handle())
      try shell("iptables-nft", "-A", "FORWARD", "-d", "198.18.0.1", "-j", "DROP")
      #expect(watch.handle())
    }
  }

  @Test func legacyTablesAreLookedAtOnceASecond() throws {
    try inNamespace { namespace in
      let watch = try RuleWatch(in: namespace)
      // Nobody's tables are made by looking.
      #expect(try secondsUntilChange(watch, patience: 1.5) == nil)
      #expect(Sysctl.lines("/proc/thread-self/net/ip_tables_names").isEmpty)
      for command in [
        "iptables-legacy -A FORWARD -d 198.18.0.1 -j ACCEPT",
        // As long as the one it replaces.
        "iptables-legacy -R FORWARD 1 -d 198.18.0.2 -j ACCEPT",
        "iptables-legacy -P FORWARD DROP", "ip6tables-legacy -A FORWARD -d 2001:2::1 -j DROP",
        "iptables-legacy -F FORWARD",
      ] {
        try shell(command.split(separator: " ").map(String.init))
        let seconds = try secondsUntilChange(watch)
        #expect(seconds.map { $0 <= 1.5 } == true, "\(command): \(String(describing: seconds))")
      }
    }
  }

  /// Packets that rules count are no change.
  @Test func countersAreNoChange() throws {
    try inNamespace { namespace in
      try TrackedConnection.prepareNamespace()
      try shell("iptables-legacy", "-A", "INPUT", "-m", "limit", "--limit", "5/second", "-j", "ACCEPT")
      try shell("iptables-legacy", "-A", "INPUT", "-p", "tcp", "-j", "ACCEPT")
      let watch = try RuleWatch(in: namespace)
      let connection = try TrackedConnection(to: "198.18.0.2", 5_001)
      for _ in 0..<50 { try connection.exchange() }
      #expect(try shell("iptables-legacy", "-vnL", "INPUT").contains(" 0     0") == false)
      #expect(try secondsUntilChange(watch, patience: 2.5) == nil)
      try shell("iptables-legacy", "-D", "INPUT", "1")
      #expect(try secondsUntilChange(watch) != nil)
    }
  }
}
