// SPDX-License-Identifier: Apache-2.0
import Foundation
import Glibc
import LinuxSystem
import Synchronization

/// A TCP transfer of pseudo-random bytes between containers, written 64 KiB at a time, each compared as it
/// arrives.
public final class Transfer: @unchecked Sendable {
  public enum Outcome: Equatable, Sendable {
    case intact
    case corrupt(at: Int)
    case incomplete(Int)
  }
  private var received = 0
  private var outcome: Outcome?
  private let lock = NSLock()
  private var threads: [DedicatedThread] = []
  /// The sender's.
  private let deadline = Atomic<UInt64>(.max)

  private static let block = 65536
  /// SO_MAX_PACING_RATE, <asm-generic/socket.h>.
  private static let maxPacingRate: Int32 = 47

  /// `seconds`: the sender ends after so many, also where not all bytes are sent; `patience`: after so many
  /// seconds without any progress it is over; `pacing`: bytes per second at most.
  public convenience init(
    from client: TestOverlay.Container, to server: TestOverlay.Container, bytes: Int = .max,
    seconds: Double? = nil, ipv6: Bool = false, port: UInt16 = 7001, patience: Int = 20, pacing: UInt32? = nil
  ) throws {
    try self.init(
      from: client.node, to: server.node, address: ipv6 ? server.ipv6 : server.ipv4, bytes: bytes,
      seconds: seconds, port: port, patience: patience, pacing: pacing)
  }

  public init(
    from client: TestNode, to server: TestNode, address: String, bytes: Int = .max, seconds: Double? = nil,
    port: UInt16 = 7001, patience: Int = 20, pacing: UInt32? = nil
  ) throws {
    let place = try SocketAddress(address, port)
    let listener = try server.open { try Self.socket(place, patience) }
    guard place.with({ bind(listener.raw, $0, $1) }) == 0, listen(listener.raw, 1) == 0 else {
      throw Failure("listen at", address, errno: .last)
    }
    let sender = try client.open { try Self.socket(place, patience) }
    if var pacing {
      guard setsockopt(sender.raw, SOL_SOCKET, Self.maxPacingRate, &pacing, 4) == 0 else {
        throw Failure("pace", "a socket", errno: .last)
      }
    }
    // What does not come about is what came of it.
    outcome = .incomplete(0)
    guard place.with({ connect(sender.raw, $0, $1) }) == 0 else { return }
    let accepted = accept(listener.raw, nil, nil)
    guard accepted >= 0 else { return }
    outcome = nil
    // What an accepted socket takes over from its listener does not include its timeouts everywhere.
    Self.limit(accepted, patience)
    let sending = sender.release()
    let end = seconds.map { Clock.monotonicNanoseconds + UInt64($0 * 1e9) } ?? .max
    deadline.store(end, ordering: .releasing)
    threads.append(try DedicatedThread { [self] in send(sending, bytes) })
    threads.append(try DedicatedThread { self.receive(accepted, bytes, mayEndEarly: seconds != nil) })
  }

  private static func socket(_ place: SocketAddress, _ patience: Int) throws -> OwnedDescriptor {
    let raw = Glibc.socket(place.family, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    guard raw >= 0 else { throw Failure("open", "a socket", errno: .last) }
    var again: Int32 = 1
    setsockopt(raw, SOL_SOCKET, SO_REUSEADDR, &again, socklen_t(MemoryLayout<Int32>.size))
    limit(raw, patience)
    return OwnedDescriptor(adopting: raw)
  }

  /// A path that fails must fail the test, not hang it.
  private static func limit(_ raw: Int32, _ seconds: Int) {
    var limit = timeval(tv_sec: seconds, tv_usec: 0)
    setsockopt(raw, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    setsockopt(raw, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
  }

  private func send(_ descriptor: Int32, _ bytes: Int) {
    defer { close(descriptor) }
    var random = SplitMix(state: 7)
    let block = Self.block
    var words = [UInt64](repeating: 0, count: block / 8)
    for _ in 0..<bytes / block {
      guard Clock.monotonicNanoseconds < deadline.load(ordering: .acquiring) else { return }
      random.fill(&words)
      var offset = 0
      while offset < block {
        let count = words.withUnsafeBytes {
          Glibc.send(descriptor, $0.baseAddress! + offset, block - offset, Int32(MSG_NOSIGNAL))
        }
        guard count > 0 else { return }
        offset += count
      }
    }
  }

  private func receive(_ descriptor: Int32, _ bytes: Int, mayEndEarly: Bool) {
    defer { close(descriptor) }
    var random = SplitMix(state: 7)
    var expected = [UInt64](repeating: 0, count: Self.block / 8)
    var buffer = expected
    var total = 0
    while total < bytes {
      let count = buffer.withUnsafeMutableBytes {
        recv(descriptor, $0.baseAddress, $0.count, Int32(MSG_WAITALL))
      }
      if count == 0, mayEndEarly, total > 0 { break }
      guard count == Self.block else { return finish(.incomplete(total + max(0, count))) }
      random.fill(&expected)
      guard memcmp(buffer, expected, Self.block) == 0 else { return finish(.corrupt(at: total)) }
      total += count
      lock.withLock { received = total }
    }
    finish(.intact)
  }

  private func finish(_ outcome: Outcome) { lock.withLock { self.outcome = outcome } }

  /// Bytes that have arrived so far.
  public var bytes: Int { lock.withLock { received } }

  public func progress(atLeast bytes: Int, within seconds: Double = 5) -> Bool {
    _ = eventually(seconds) { self.bytes >= bytes || lock.withLock { outcome } != nil }
    return self.bytes >= bytes && lock.withLock { outcome } == nil
  }

  /// The sender ends before its `seconds` are over.
  public func end() { deadline.store(0, ordering: .releasing) }

  public func finish() -> Outcome? {
    for thread in threads { thread.join() }
    return lock.withLock { outcome }
  }
}
