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
    try shell([try Self.culvert] + basic + options)
    return try #require(try status(overlay, host).first).pid
  }

  /// A killed process stays in the table of processes until its parent looks, which may be never.
  @Test func downNeedsNobodyToReapTheDead() throws {
    let overlay = try TestOverlay(ipv6: false)
    try overlay.inhabit()
    let parent = Process()
    parent.executableURL = URL(fileURLWithPath: "/bin/bash")
    let path = overlay.hosts["a"]!.path
    // Its child's parent is a `sleep`, which waits for no child.
    parent.arguments = [
      "-c", "\(try Self.culvert) up --overlay br0 --netns \(path) > /dev/null 2>&1 & exec sleep 60",
    ]
    try parent.run()
    // Also where a line below fails: the fast path would outlive its parent.
    defer {
      _ = try? shell(Self.culvert, "down", "--netns", path)
      parent.terminate()
    }
    var running: Running?
    for _ in 0..<200 where running == nil {
      usleep(50_000)
      running = try status(overlay, "a").first { $0.state == "ready" }
    }
    let pid = try #require(running).pid
    kill(pid, SIGKILL)
    let said = try shell(try Self.culvert, "down", "--netns", path)
    #expect(said.contains("restored eth0"))
    #expect(try status(overlay, "a").isEmpty)
    #expect(try shell("cat", "/proc/\(pid)/stat").contains(") Z "))
  }

  @Test func aTransferSurvivesAndTheNextDownRestores() throws {
    let overlay = try TestOverlay()
    try overlay.inhabit()
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
    #expect(said.contains("restored eth0"))
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
    try overlay.inhabit()
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
    for pid in [a, b] { for _ in 0..<200 where Owner.startTime(of: pid) != nil { usleep(20_000) } }
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

  @Test(arguments: [SIGTERM, SIGINT]) func aSignalGivesThePacketsBackAndRestores(signal: Int32) throws {
    let overlay = try TestOverlay()
    try overlay.inhabit()
    let pid = try up(overlay, "a")
    #expect(
      try overlay.containers["a1"]!.node.shell("ethtool -k eth0").contains("tx-checksum-ip-generic: off"))
    kill(pid, signal)
    for _ in 0..<200 where Owner.startTime(of: pid) != nil { usleep(20_000) }
    #expect(try status(overlay, "a").isEmpty)
    #expect(
      try overlay.containers["a1"]!.node.shell("ethtool -k eth0").contains("tx-checksum-ip-generic: on"))
    #expect(try !overlay.hosts["a"]!.shell("ip link").contains("xdp"))
  }

  @Test func exitStatusesAreTheContracts() throws {
    let overlay = try TestOverlay()
    func exit(_ arguments: String...) throws -> Int32 {
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
    #expect(try exit("up") == 64)
    #expect(try exit("probe", "eth0", "--netns", namespace) == 0)
    #expect(try exit("probe", "eth9", "--netns", namespace) == 1)
    // Before 6.3 the kernel does not say what takes redirected frames.
    if try overlay.hosts["a"]!.run({ try XDPFeatures.of(interface: 1) }) != nil {
      try overlay.hosts["b"]!.shell("ethtool -K eth0 gro off")
      #expect(try exit("up", "--overlay", "br0", "--netns", namespace) == 69)
      #expect(try exit("up", "--overlay", "br0", "--netns", namespace, "--detach") == 69)
    }
    #expect(try exit("down", "--netns", namespace) == 0)
    #expect(try exit("status", "--netns", "no-such-namespace") == 1)
  }
}

/// A TCP transfer of pseudo-random bytes, each compared as it arrives.
final class Transfer: @unchecked Sendable {
  enum Outcome: Equatable {
    case intact
    case corrupt(at: Int)
    case incomplete(Int)
  }
  private var received = 0
  private var outcome: Outcome?
  private let lock = NSLock()
  private var threads: [DedicatedThread] = []

  init(from client: TestOverlay.Container, to server: TestOverlay.Container, bytes: Int) throws {
    let listener = try server.node.open { try Self.socket() }
    let port: UInt16 = 7001
    guard Self.withAddress(server.number, port, { bind(listener.raw, $0, $1) }) == 0,
      listen(listener.raw, 1) == 0
    else {
      throw Failure("listen in", "a container", errno: .last)
    }
    let sender = try client.node.open { try Self.socket() }
    guard Self.withAddress(server.number, port, { connect(sender.raw, $0, $1) }) == 0 else {
      throw Failure("connect to", "a container", errno: .last)
    }
    let accepted = accept(listener.raw, nil, nil)
    guard accepted >= 0 else { throw Failure("accept in", "a container", errno: .last) }
    let sending = sender.release()
    threads.append(try DedicatedThread { Self.send(sending, bytes) })
    threads.append(try DedicatedThread { self.receive(accepted, bytes) })
  }

  private static func socket() throws -> OwnedDescriptor {
    let raw = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    guard raw >= 0 else { throw Failure("open", "a socket", errno: .last) }
    var again: Int32 = 1
    setsockopt(raw, SOL_SOCKET, SO_REUSEADDR, &again, socklen_t(MemoryLayout<Int32>.size))
    // A path that fails must fail the test, not hang it.
    var limit = timeval(tv_sec: 20, tv_usec: 0)
    setsockopt(raw, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    setsockopt(raw, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    return OwnedDescriptor(adopting: raw)
  }

  private static func withAddress(
    _ number: UInt8, _ port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
  ) -> Int32 {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = (0xc613_0000 | UInt32(number)).bigEndian
    return withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
  }

  private static func send(_ descriptor: Int32, _ bytes: Int) {
    defer { close(descriptor) }
    var random = SplitMix(state: 7)
    var words = [UInt64](repeating: 0, count: 8192)
    for _ in 0..<bytes / 65536 {
      for index in words.indices { words[index] = random.next() }
      var offset = 0
      while offset < 65536 {
        let count = words.withUnsafeBytes {
          Glibc.send(descriptor, $0.baseAddress! + offset, 65536 - offset, Int32(MSG_NOSIGNAL))
        }
        guard count > 0 else { return }
        offset += count
      }
    }
  }

  private func receive(_ descriptor: Int32, _ bytes: Int) {
    defer { close(descriptor) }
    var random = SplitMix(state: 7)
    var expected = [UInt64](repeating: 0, count: 8192)
    var buffer = expected
    var total = 0
    while total < bytes {
      let count = buffer.withUnsafeMutableBytes {
        recv(descriptor, $0.baseAddress, $0.count, Int32(MSG_WAITALL))
      }
      guard count == 65536 else { return finish(.incomplete(total + max(0, count))) }
      for index in expected.indices { expected[index] = random.next() }
      guard buffer == expected else { return finish(.corrupt(at: total)) }
      total += count
      lock.withLock { received = total }
    }
    finish(.intact)
  }

  private func finish(_ outcome: Outcome) { lock.withLock { self.outcome = outcome } }

  func progress(atLeast bytes: Int) -> Bool {
    for _ in 0..<500 {
      if lock.withLock({ received }) >= bytes { return lock.withLock { outcome } == nil }
      usleep(10_000)
    }
    return false
  }

  func finish() -> Outcome? {
    for thread in threads { thread.join() }
    return lock.withLock { outcome }
  }
}
