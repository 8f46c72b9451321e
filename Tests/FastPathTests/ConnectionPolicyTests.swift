// SPDX-License-Identifier: Apache-2.0
import Glibc
import LinuxSystem
import PacketHeaders
import TestSupport
import Testing

@testable import FastPath
@testable import Netlink

/// What may pass the rules by, while rules and connections come and go.
@Suite(.enabled(if: mayUseKernel, Comment(rawValue: needsRoot)), .serialized)
struct ConnectionPolicyTests {
  static let path = ForwardPath(
    containers: [.init(name: "cni0", index: 1_003)], overlay: .init(name: "flannel.1", index: 1_004))

  /// As the event loop does, until the mode is one that is wanted; seconds that it took.
  @discardableResult
  private func drive(
    _ policy: ConnectionPolicy, _ seconds: Double = 3, until isWanted: (ConnectionPolicy.Mode) throws -> Bool
  ) throws -> Double? {
    let start = Clock.monotonicNanoseconds
    while try !isWanted(policy.mode) {
      let now = Clock.monotonicNanoseconds
      guard now - start < UInt64(seconds * 1e9) else { return nil }
      if policy.deadline <= now { try policy.tick(now: now) }
      let wait = policy.deadline <= now ? 0 : min(20, (policy.deadline - now) / 1_000_000 + 1)
      var waiting = policy.descriptors.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
      guard poll(&waiting, nfds_t(waiting.count), Int32(wait)) > 0 else { continue }
      for one in waiting where one.revents != 0 { try policy.handle(readable: one.fd) }
    }
    return Double(Clock.monotonicNanoseconds - start) / 1e9
  }

  private func nft(_ commands: String) throws { try shell(["nft", "-f", "-"], input: commands) }

  @Test func theModeFollowsTheRules() throws {
    try ConnectionFollowerTests.inNamespace { namespace in
      let policy = try ConnectionPolicy(in: namespace, path: Self.path)
      #expect(policy.mode != .everything)
      #expect(try drive(policy) { $0 == .everything } != nil)
      #expect(policy.counters == nil)
      let tracked = try TrackedConnection(to: "198.18.0.2", 5_001)
      let other = try TrackedConnection(to: "198.18.0.2", 5_002)
      try tracked.exchange()
      try other.exchange()
      func mark(_ connection: borrowing TrackedConnection, _ port: UInt16) throws -> UInt32? {
        try ConnectionFollowerTests.entry(connection.clientPort, to: "198.18.0.2", port)?.mark
      }

      try nft("table ip t { chain f { type filter hook forward priority 0; ct state invalid drop; }; }")
      #expect(try drive(policy) { $0 == .connections(takesUnmarkedUDP: true) } ?? 9 < 1)
      #expect(
        try drive(policy) { _ in try mark(tracked, 5_001) == 0x1000 && mark(other, 5_002) == 0x1000 } != nil)

      // A rule that drops some: never before they are withdrawn.
      let generation = policy.generation
      try nft("add rule ip t f tcp dport 5001 drop")
      let seconds = try drive(policy) { $0 == .connections(takesUnmarkedUDP: false) }
      #expect(try mark(tracked, 5_001) == 0)
      #expect(seconds ?? 9 < 1 && policy.generation > generation)
      #expect(try mark(other, 5_002) == 0x1000)
      #expect(policy.counters?.withdrawn == 1)

      // One that looks at each packet.
      try nft("add rule ip t f limit rate over 1000/second drop")
      let isNamed: (ConnectionPolicy.Mode) -> Bool = {
        if case .nothing(let why) = $0 { why.contains("ip chain t f looks at each packet") } else { false }
      }
      #expect(try drive(policy, until: isNamed) ?? 9 < 1)
      if case .nothing(let why) = policy.mode { #expect(why.contains("drops by a limit"), "\(why)") }

      try nft("delete table ip t")
      #expect(try drive(policy) { $0 == .everything } ?? 9 < 1)
    }
  }

  /// Legacy tables announce nothing.
  @Test func theModeFollowsLegacyRules() throws {
    try ConnectionFollowerTests.inNamespace { namespace in
      let policy = try ConnectionPolicy(in: namespace, path: Self.path)
      #expect(try drive(policy) { $0 == .everything } != nil)
      try shell("iptables-legacy", "-A", "FORWARD", "-m", "conntrack", "--ctstate", "INVALID", "-j", "DROP")
      #expect(try drive(policy) { $0 == .connections(takesUnmarkedUDP: true) } ?? 9 < 1.5)
      try shell("iptables-legacy", "-A", "FORWARD", "-j", "LOG")
      #expect(try drive(policy) { if case .nothing = $0 { true } else { false } } ?? 9 < 1.5)
    }
  }

  /// A device that no chain is for changes what the same rules ask.
  @Test func theModeFollowsTheDevices() throws {
    try ConnectionFollowerTests.inNamespace { namespace in
      try nft(
        """
        table ip t { chain w { ct state established accept; drop; }
        chain f { type filter hook forward priority 0; iifname cali1 goto w; iifname "cali*" drop; }; }
        """)
      var path = ForwardPath(
        containers: [.init(name: "cali1", index: 1_003)], overlay: .init(name: "vxlan.calico", index: 1_004))
      let policy = try ConnectionPolicy(in: namespace, path: path)
      #expect(try drive(policy) { $0 == .connections(takesUnmarkedUDP: true) } != nil)
      path.containers.append(.init(name: "cali2", index: 1_005))
      policy.follow(path)
      #expect(try drive(policy) { $0 == .connections(takesUnmarkedUDP: false) } != nil)
      #expect(policy.generation == 2)
    }
  }
}
