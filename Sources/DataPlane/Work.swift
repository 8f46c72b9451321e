// SPDX-License-Identifier: Apache-2.0
import Synchronization

/// What a forwarder did for its packets; written by one worker, read by anyone.
public struct Work: Sendable, Equatable, Codable {
  public var packets: UInt64 = 0
  /// Turns of a socket that found packets.
  public var bursts: UInt64 = 0
  /// System calls that had the kernel send, or receive on.
  public var transmitCalls: UInt64 = 0
  public var receiveCalls: UInt64 = 0
  /// Packets handed over for redirection; the others left by the sockets.
  public var redirected: UInt64 = 0
  /// How often redirection became too slow or failed, and the sockets sent everything for a second.
  public var backoffs: UInt64 = 0
  /// Packets that programs forwarded by themselves, since they were few; nil where they never do.
  public var direct: UInt64?

  public init(
    packets: UInt64 = 0, bursts: UInt64 = 0, transmitCalls: UInt64 = 0, receiveCalls: UInt64 = 0,
    redirected: UInt64 = 0, backoffs: UInt64 = 0, direct: UInt64? = nil
  ) {
    self.packets = packets
    self.bursts = bursts
    self.transmitCalls = transmitCalls
    self.receiveCalls = receiveCalls
    self.redirected = redirected
    self.backoffs = backoffs
    self.direct = direct
  }

  public static func + (a: Work, b: Work) -> Work { a.combined(b, &+) }
  public static func - (a: Work, b: Work) -> Work { a.combined(b, &-) }

  private func combined(_ other: Work, _ by: (UInt64, UInt64) -> UInt64) -> Work {
    Work(
      packets: by(packets, other.packets), bursts: by(bursts, other.bursts),
      transmitCalls: by(transmitCalls, other.transmitCalls),
      receiveCalls: by(receiveCalls, other.receiveCalls), redirected: by(redirected, other.redirected),
      backoffs: by(backoffs, other.backoffs),
      direct: direct == nil && other.direct == nil ? nil : by(direct ?? 0, other.direct ?? 0))
  }

  enum CodingKeys: String, CodingKey {
    case packets, bursts
    case transmitCalls = "transmit_calls"
    case receiveCalls = "receive_calls"
    case redirected
    case backoffs = "redirection_rests"
    case direct
  }

  /// Of the rings; waiting is not among them.
  public var callsPerPacket: Double? {
    packets == 0 ? nil : Double(transmitCalls + receiveCalls) / Double(packets)
  }
  public var packetsPerBurst: Double? { bursts == 0 ? nil : Double(packets) / Double(bursts) }
}

struct WorkCounters: ~Copyable {
  private let packets = Atomic<UInt64>(0)
  private let bursts = Atomic<UInt64>(0)
  private let transmitCalls = Atomic<UInt64>(0)
  private let receiveCalls = Atomic<UInt64>(0)
  private let redirected = Atomic<UInt64>(0)
  private let backoffs = Atomic<UInt64>(0)

  @inline(__always)
  func add(packets count: Int, bursts turns: Int) {
    Self.add(packets, UInt64(truncatingIfNeeded: count))
    Self.add(bursts, UInt64(truncatingIfNeeded: turns))
  }
  @inline(__always)
  func addTransmitCall() { Self.add(transmitCalls, 1) }
  @inline(__always)
  func addReceiveCall() { Self.add(receiveCalls, 1) }
  @inline(__always)
  func add(redirected count: Int) { Self.add(redirected, UInt64(truncatingIfNeeded: count)) }
  @inline(__always)
  func addBackoff() { Self.add(backoffs, 1) }

  /// One writer: no locked instruction is needed.
  @inline(__always)
  private static func add(_ counter: borrowing Atomic<UInt64>, _ more: UInt64) {
    counter.store(counter.load(ordering: .relaxed) &+ more, ordering: .relaxed)
  }

  func read() -> Work {
    Work(
      packets: packets.load(ordering: .relaxed), bursts: bursts.load(ordering: .relaxed),
      transmitCalls: transmitCalls.load(ordering: .relaxed),
      receiveCalls: receiveCalls.load(ordering: .relaxed),
      redirected: redirected.load(ordering: .relaxed), backoffs: backoffs.load(ordering: .relaxed))
  }
}
