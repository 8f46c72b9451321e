// SPDX-License-Identifier: Apache-2.0
import LinuxSystem

/// The correctness gate: no network is timed that does not carry ping, UDP of every length around the MTU and
/// TCP of random bytes in both directions, over IPv4 and, where the ends have addresses, IPv6.
public struct Gate: Sendable {
  /// Layer 3 bytes that the path carries in one piece.
  public var mtu: Int
  /// What one lost datagram may cost before it is sent again (ARP, ND, learning), and how often.
  public var attempts = 4

  public init(mtu: Int) { self.mtu = mtu }

  public struct Check: Sendable, Equatable {
    public var name: String
    /// nil: passed.
    public var problem: String?
  }

  public struct Report: Sendable, Equatable {
    public var checks: [Check]
    public var passed: Bool { checks.allSatisfy { $0.problem == nil } }
    /// What to say of a network that failed.
    public var summary: String {
      let failed = checks.compactMap { check in check.problem.map { "\(check.name): \($0)" } }
      return failed.isEmpty ? "\(checks.count) checks passed" : failed.joined(separator: "; ")
    }
  }

  /// Never throws for what the path does wrong, that is its answer. Stops after the first family's failed
  /// ping: nothing else can pass then. Uses ports from `path.port` to 15 above.
  public func run(_ path: Path) -> Report {
    var report = Report(checks: [])
    for overIPv6 in [false, true] {
      if overIPv6 && (path.client.ipv6 == nil || path.server.ipv6 == nil) { continue }
      var path = path
      path.overIPv6 = overIPv6
      let family = overIPv6 ? "IPv6" : "IPv4"
      func check(_ name: String, _ body: () throws(Failure) -> Void) -> Bool {
        do throws(Failure) {
          try body()
          report.checks.append(Check(name: "\(name) \(family)"))
        } catch {
          report.checks.append(Check(name: "\(name) \(family)", problem: error.description))
        }
        return report.checks.last?.problem == nil
      }
      guard check("ping", { () throws(Failure) in try ping(path) }) else { return report }
      let header = overIPv6 ? 40 : 20
      let fits = mtu - header - 8
      // Loopback takes more than a datagram over IPv4 can hold.
      let sizes = [1, 64, fits - 1, fits, fits + 1, 8000].map { min($0, 65_507) }
      path.port += 1
      _ = check("UDP") { () throws(Failure) in
        try EchoCheck(sizes: sizes, attempts: attempts).run(path)
      }
      // TCP's time stamps take 12 of the segment's bytes.
      let segment = mtu - header - 20 - 12
      for (index, size) in [1, segment - 1, segment, segment + 1, 65536].enumerated() {
        path.port += 1
        // Single bytes are few enough to fit into one segment, however TCP gathers them.
        let total = size == 1 ? 1_000 : 384 * 1024 + index
        guard
          check(
            "TCP writes of \(size)",
            { () throws(Failure) in
              try StreamCheck(writeSize: size, total: total).run(path)
            })
        else { break }
      }
    }
    return report
  }

  /// One answered ping: afterwards addresses are resolved and learned along the path. Throws when none is
  /// answered.
  public func prime(_ path: Path) throws(Failure) { try ping(path) }

  /// The same where the path may come to be only now: asked every 20 ms. Nanoseconds until the answer.
  public static func firstAnswer(_ path: Path) throws -> UInt64 {
    try DedicatedThread.run {
      try path.client.enter()
      let begin = Clock.monotonicNanoseconds
      try Ping(attempts: 250, bytes: 56, timeoutMilliseconds: 20).run(path)
      return Clock.monotonicNanoseconds - begin
    }
  }

  /// UDP there and back on `path.port` of both ends: connection tracking on the way has seen both directions then.
  public func establish(_ path: Path) throws(Failure) {
    try EchoCheck(sizes: [64], attempts: attempts).run(path)
  }

  private func ping(_ path: Path) throws(Failure) {
    let attempts = attempts
    _ = try path.run(
      LoadTiming(warmUp: 0, duration: Double(attempts)),
      server: { (_) throws(Failure) in },
      client: { (_) throws(Failure) in try Ping(attempts: attempts, bytes: 56).run(path) })
  }
}
