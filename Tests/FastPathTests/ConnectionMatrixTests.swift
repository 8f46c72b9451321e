// SPDX-License-Identifier: Apache-2.0
import Glibc
import LinuxSystem
import PacketHeaders
import TestSupport
import Testing

@testable import FastPath
@testable import Netlink

/// What becomes of connections when most of their packets pass conntrack by and the kernel sees the rest: made liberal
/// by `ConnectionFollower`, they end as they do with the kernel alone.
///
/// A host routes between two others and drops what conntrack calls invalid, as kube-proxy's rules do. What passes by are
/// TCP segments without SYN, FIN and RST that a rule of the raw table takes from conntrack (`notrack`): to conntrack it is
/// all the same who forwards them.
@Suite(.enabled(if: mayUseKernel, Comment(rawValue: needsRoot)), .serialized)
struct ConnectionMatrixTests {
  private struct Hosts {
    private let overlay: TestOverlay
    let (client, router, server): (TestNode, TestNode, TestNode)
    static let clientAddress = "198.18.1.1"
    static let serverAddress = "198.18.2.1"
    static let serviceAddress = "198.18.9.9"

    init() throws {
      overlay = try TestOverlay(containers: [], wire: .partialChecksums, ipv6: false, routed: true)
      (client, router, server) = (overlay.underlays["a"]!, overlay.router!, overlay.underlays["b"]!)
      try nft(
        """
        table ip t {
          counter invalid { }
          chain raw { type filter hook prerouting priority raw; }
          chain nat { type nat hook prerouting priority dstnat; ip daddr \(Self.serviceAddress) tcp dport 80 dnat to \(Self.serverAddress):7001; }
          chain forward { type filter hook forward priority 0; policy drop
            ct state invalid counter name invalid drop
            ct state untracked,established,related accept
            ct state new tcp flags & (syn|ack) == syn accept
          }
        }
        """)
      for (node, name) in [(router, "a"), (router, "b"), (client, "eth0"), (server, "eth0")] {
        try node.waitUntilUp(name)
      }
    }

    func nft(_ commands: String) throws { try router.run { _ = try TestSupport.shell(["nft", "-f", "-"], input: commands) } }

    /// From now on segments pass conntrack by, or do so no more.
    func bypass(_ isOn: Bool) throws {
      try nft(isOn ? "add rule ip t raw tcp flags & (fin|syn|rst) == 0 notrack" : "flush chain ip t raw")
    }

    /// Packets that conntrack called invalid, which were dropped.
    func invalid() throws -> Int {
      let words = try router.shell("nft list counter ip t invalid").split(whereSeparator: \.isWhitespace)
      return try #require(words.firstIndex(of: "packets").flatMap { Int(words[$0 + 1]) })
    }

    func connect(_ address: String = serverAddress, _ port: UInt16 = 7001) throws -> TrackedConnection {
      let listener = try server.open { () throws -> OwnedDescriptor in
        let place = try SocketAddress(Self.serverAddress, 7001)
        let listener = try TrackedConnection.socket(place)
        guard place.with({ bind(listener.raw, $0, $1) }) == 0, listen(listener.raw, 1) == 0 else {
          throw Failure("listen at", Self.serverAddress, errno: .last)
        }
        return listener
      }
      return try client.open {
        try TrackedConnection(to: address, port, listener: listener, from: Self.clientAddress)
      }
    }

    func entry(_ connection: borrowing TrackedConnection, _ address: String = serverAddress, _ port: UInt16 = 7001) throws
      -> ConntrackEntry?
    {
      let tuple = ConntrackTuple(
        source: .v4(IPv4Address(Self.clientAddress)!), destination: .v4(IPv4Address(address)!), protocolNumber: 6,
        sourcePort: connection.clientPort, destinationPort: port)
      return try router.run { try ConntrackConnection().entry(tuple) }
    }

    func follower() throws -> ConnectionFollower {
      try router.run { try ConnectionFollower(in: NetworkNamespace.current(), addresses: []) }
    }
  }

  /// How the connection ends, and what is left of it in conntrack.
  enum End: String, CaseIterable, Sendable { case fin, rst, halfClose }

  struct Rest: Equatable, CustomStringConvertible {
    /// Of the other end's next read: 0 for the end, or an errno.
    var read: Int32
    var state: TCPTracking.State?
    /// Within 30 s of each other are the same.
    var timeout: UInt32
    var description: String { "read \(read), \(state.map { "\($0)" } ?? "no entry"), \(timeout) s" }
  }

  private func close(_ connection: consuming TrackedConnection, _ end: End, _ hosts: Hosts) throws -> Rest {
    let (client, server) = (connection.client.raw, connection.server.raw)
    switch end {
    case .fin: shutdown(client, Int32(SHUT_RDWR))
    case .halfClose: shutdown(client, Int32(SHUT_WR))
    case .rst:
      var linger = linger(l_onoff: 1, l_linger: 0)
      setsockopt(client, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<Glibc.linger>.size))
      // AF_UNSPEC: as close() would, and the descriptor stays.
      var nowhere = sockaddr(sa_family: sa_family_t(AF_UNSPEC), sa_data: (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0))
      _ = Glibc.connect(client, &nowhere, socklen_t(MemoryLayout<sockaddr>.size))
    }
    var limit = timeval(tv_sec: 3, tv_usec: 0)
    setsockopt(server, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    var byte: UInt8 = 0
    let count = recv(server, &byte, 1, 0)
    let read = count < 0 ? errno : Int32(count)
    if end == .halfClose { #expect(TrackedConnection.transfer(4 << 20, from: server, to: client) == 4 << 20) }
    if end != .rst {
      shutdown(server, Int32(SHUT_RDWR))
      _ = try eventually(3) { try hosts.entry(connection)?.tcp?.state == .timeWait }
    }
    let entry = try hosts.entry(connection)
    if end != .rst { #expect(entry?.tcp?.state == .timeWait, "\(String(describing: entry))") }
    return Rest(read: read, state: entry?.tcp?.state, timeout: entry?.timeout ?? 0)
  }

  @Test(arguments: End.allCases) func endsAsWithTheKernelAlone(end: End) throws {
    let hosts = try Hosts()
    let alone = try hosts.connect()
    #expect(TrackedConnection.transfer(4 << 20, from: alone.client.raw, to: alone.server.raw) == 4 << 20)
    let expected = try close(alone, end, hosts)

    let follower = try hosts.follower()
    let connection = try hosts.connect()
    try connection.exchange()
    #expect(try ConnectionFollowerTests.drive(follower) { follower.counters.marked == 1 })
    try hosts.bypass(true)
    #expect(TrackedConnection.transfer(16 << 20, from: connection.client.raw, to: connection.server.raw) == 16 << 20)
    #expect(TrackedConnection.transfer(16 << 20, from: connection.server.raw, to: connection.client.raw) == 16 << 20)
    // Before the end it goes back to the kernel, whose window is of before; what is on its way then, too.
    try hosts.bypass(false)
    let found = try close(connection, end, hosts)
    #expect(found.read == expected.read)
    #expect(try hosts.invalid() == 0)
    // The kernel lets a liberal connection that was reset stay established, for as short as one that is closed.
    if end != .rst { #expect(found.state == expected.state) }
    #expect(found.timeout.distance(to: expected.timeout).magnitude <= 3, "\(found), alone \(expected)")
  }

  /// The end itself is never taken from conntrack.
  @Test(arguments: End.allCases) func endsWhileOthersPassBy(end: End) throws {
    let hosts = try Hosts()
    let follower = try hosts.follower()
    let connection = try hosts.connect()
    try connection.exchange()
    #expect(try ConnectionFollowerTests.drive(follower) { follower.counters.marked == 1 })
    try hosts.bypass(true)
    #expect(TrackedConnection.transfer(16 << 20, from: connection.client.raw, to: connection.server.raw) == 16 << 20)
    // FIN's last acknowledgement would pass by, and the entry wait for it: the program looks at the state.
    if end != .rst { try hosts.bypass(false) }
    let found = try close(connection, end, hosts)
    #expect(found.read == (end == .rst ? ECONNRESET : 0), "\(found)")
    #expect(try hosts.invalid() == 0)
    #expect(found.timeout <= 120)
  }

  /// As when Culvert is killed, or hands the connection over to be refreshed.
  @Test(arguments: [false, true]) func theKernelTakesOverInTheMiddle(isFollowed: Bool) throws {
    let hosts = try Hosts()
    let follower = try hosts.follower()
    let connection = try hosts.connect()
    try connection.exchange()
    if isFollowed { #expect(try ConnectionFollowerTests.drive(follower) { follower.counters.marked == 1 }) }
    try hosts.bypass(true)
    #expect(TrackedConnection.transfer(64 << 20, from: connection.client.raw, to: connection.server.raw) == 64 << 20)
    try hosts.bypass(false)
    let carried = TrackedConnection.transfer(16 << 20, from: connection.client.raw, to: connection.server.raw, patience: 2)
    if isFollowed {
      #expect(carried == 16 << 20)
      #expect(try hosts.invalid() == 0)
      let entry = try #require(try hosts.entry(connection))
      #expect(entry.tcp?.state == .established && entry.isLiberal)
    } else {
      // What it is all about: without the flag the connection hangs.
      #expect(carried == 0)
      #expect(try hosts.invalid() > 0)
    }
  }

  /// As `conntrack -D` does.
  @Test func aDeletedEntryIsMadeAgain() throws {
    let hosts = try Hosts()
    let follower = try hosts.follower()
    let connection = try hosts.connect()
    try connection.exchange()
    #expect(try ConnectionFollowerTests.drive(follower) { follower.counters.marked == 1 })
    try hosts.bypass(true)
    #expect(TrackedConnection.transfer(16 << 20, from: connection.client.raw, to: connection.server.raw) == 16 << 20)
    // Deleted while no packet goes to the kernel: the next that does is in the middle of a connection (tcp_loose). The
    // usual rules accept it by address; here it counts as new.
    try hosts.nft("add rule ip t forward ct state new accept")
    let entry = try #require(try hosts.entry(connection))
    #expect(try hosts.router.run { try ConntrackConnection().delete(entry) })
    #expect(try hosts.entry(connection) == nil)
    try hosts.bypass(false)
    #expect(TrackedConnection.transfer(1 << 20, from: connection.client.raw, to: connection.server.raw) == 1 << 20)
    #expect(try ConnectionFollowerTests.drive(follower) { follower.counters.marked == 2 })
    try hosts.bypass(true)
    #expect(TrackedConnection.transfer(16 << 20, from: connection.client.raw, to: connection.server.raw) == 16 << 20)
    try hosts.bypass(false)
    #expect(TrackedConnection.transfer(1 << 20, from: connection.client.raw, to: connection.server.raw) == 1 << 20)
    #expect(try hosts.invalid() == 0)
    let again = try #require(try hosts.entry(connection))
    // Its id may be the old one's again: the kernel makes it of where the entry lies.
    #expect(again.isLiberal && again.mark == ConnectionFollower.defaultMark)
  }

  /// The change itself leaves state and timeout alone, and nothing refreshes an entry that packets pass by.
  @Test func theTimeoutIsTheKernels() throws {
    let hosts = try Hosts()
    let follower = try hosts.follower()
    // Short enough to see it run.
    try hosts.router.set("net/netfilter/nf_conntrack_tcp_timeout_established", "40")
    let connection = try hosts.connect()
    try connection.exchange()
    let before = try #require(try hosts.entry(connection))
    #expect(try ConnectionFollowerTests.drive(follower) { follower.counters.marked == 1 })
    let after = try #require(try hosts.entry(connection))
    #expect(after.tcp?.state == before.tcp?.state && after.status == before.status)
    #expect(after.timeout! <= before.timeout! && after.timeout! + 2 >= before.timeout!)
    try hosts.bypass(true)
    #expect(
      try eventually(5) {
        try connection.exchange()
        return try hosts.entry(connection)!.timeout! <= 38
      })
    try hosts.bypass(false)
    try connection.exchange()
    #expect(try hosts.entry(connection)!.timeout! >= 39)
  }

  /// Of a service's address, whose destination is translated.
  @Test func aServiceIsFollowed() throws {
    let hosts = try Hosts()
    let follower = try hosts.follower()
    let connection = try hosts.connect(Hosts.serviceAddress, 80)
    try connection.exchange()
    #expect(try ConnectionFollowerTests.drive(follower) { follower.counters.marked == 1 })
    let entry = try #require(try hosts.entry(connection, Hosts.serviceAddress, 80))
    #expect(entry.isLiberal && entry.status.contains(.destinationNAT) && !entry.status.contains(.sourceNAT))
    #expect(TrackedConnection.transfer(4 << 20, from: connection.client.raw, to: connection.server.raw) == 4 << 20)
    #expect(try hosts.invalid() == 0)
  }
}
