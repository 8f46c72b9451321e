// SPDX-License-Identifier: Apache-2.0
import Synchronization

/// Frames that the forwarder could not deliver, by port; written by one worker, read by anyone.
public struct Losses: Sendable, Equatable {
  /// Sent by this port: its transmit ring was full, or its device refused.
  public var notSent: UInt64 = 0
  /// Received by this port: the egress device was gone, or changed meanwhile.
  public var notForwarded: UInt64 = 0
}

struct LossCounters: ~Copyable {
  private let counters: UnsafeMutablePointer<Atomic<UInt64>>
  private let capacity: Int

  init(slots: Int) {
    capacity = 2 * slots
    counters = .allocate(capacity: capacity)
    for index in 0..<capacity { (counters + index).initialize(to: Atomic(0)) }
  }

  deinit { counters.deallocate() }

  @inline(__always)
  func addNotSent(_ slot: UInt32) { add(2 &* Int(slot)) }
  @inline(__always)
  func addNotForwarded(_ slot: UInt32) { add(2 &* Int(slot) &+ 1) }

  /// One writer: no locked instruction is needed.
  @inline(__always)
  private func add(_ index: Int) {
    let value = counters[index].load(ordering: .relaxed)
    counters[index].store(value &+ 1, ordering: .relaxed)
  }

  func read(_ slot: UInt32) -> Losses {
    Losses(
      notSent: counters[2 * Int(slot)].load(ordering: .relaxed),
      notForwarded: counters[2 * Int(slot) + 1].load(ordering: .relaxed))
  }

  /// Of a slot that nobody uses at the moment.
  func reset(_ slot: UInt32) {
    counters[2 * Int(slot)].store(0, ordering: .relaxed)
    counters[2 * Int(slot) + 1].store(0, ordering: .relaxed)
  }
}
