// SPDX-License-Identifier: Apache-2.0
import Glibc
import LinuxSystem
import Synchronization

/// Work without a network, done where a station is: what a namespace could cost beyond packets.
public enum LocalWork: String, Sendable, CaseIterable {
  /// A loop of additions and multiplications in registers.
  case loop = "cpu-loop"
  /// STREAM's triad over arrays far larger than caches: a[i] = b[i] + s·c[i].
  case triad = "memory"

  /// Elements of each array: 32 MiB.
  private static let elements = 4 << 20

  /// Per second: steps of the loop, or bytes that the triad reads and writes.
  public func run(at station: Station, duration: Double) throws -> Double {
    try DedicatedThread.run {
      try station.enter()
      switch self {
      case .loop: return Self.loop(duration)
      case .triad: return Self.triad(duration)
      }
    }
  }

  private static func loop(_ duration: Double) -> Double {
    let begin = Clock.monotonicNanoseconds
    let end = begin + nanoseconds(duration)
    var (value, steps, now) = (begin | 1, UInt64(0), begin)
    while now < end {
      for _ in 0..<100_000 { value = value &* 0x5851_f42d_4c95_7f2d &+ 0x1405_7b7e_f767_814f }
      steps += 100_000
      now = Clock.monotonicNanoseconds
    }
    // What nobody looks at need not be computed.
    sink.store(value, ordering: .relaxed)
    return Double(steps) / Double(now - begin) * 1e9
  }

  private static let sink = Atomic<UInt64>(0)

  private static func triad(_ duration: Double) -> Double {
    let memory = UnsafeMutablePointer<Double>.allocate(capacity: 3 * elements)
    defer { memory.deallocate() }
    memory.initialize(repeating: 1, count: 3 * elements)
    let (a, b, c) = (memory, memory + elements, memory + 2 * elements)
    let begin = Clock.monotonicNanoseconds
    let end = begin + nanoseconds(duration)
    var (passes, now) = (0, begin)
    while now < end {
      let scale = Double(passes & 7)
      for index in 0..<elements { a[index] = b[index] + scale * c[index] }
      passes += 1
      now = Clock.monotonicNanoseconds
    }
    sink.store(UInt64(a[passes % elements]), ordering: .relaxed)
    return Double(passes * elements * 3 * MemoryLayout<Double>.size) / Double(now - begin) * 1e9
  }
}

/// Threads that take CPU time from whatever else runs, as busy containers would, until they are ended.
public final class BusyNeighbours: Sendable {
  private final class State: Sendable { let isOver = Atomic(false) }
  private let state = State()
  private let threads: [DedicatedThread]

  /// - Parameter share: of a CPU that each takes, 0 to 1; it works and rests by milliseconds.
  public init(_ count: Int, share: Double) throws(Failure) {
    let state = state
    var threads: [DedicatedThread] = []
    do throws(Failure) {
      for _ in 0..<count { threads.append(try DedicatedThread { Self.work(share, state) }) }
    } catch {
      state.isOver.store(true, ordering: .relaxed)
      for thread in threads { thread.join() }
      throw error
    }
    self.threads = threads
  }

  deinit { end() }

  public func end() {
    state.isOver.store(true, ordering: .relaxed)
    for thread in threads { thread.join() }
  }

  private static func work(_ share: Double, _ state: State) {
    let period = 10_000_000.0
    while !state.isOver.load(ordering: .relaxed) {
      let until = Clock.monotonicNanoseconds + UInt64(period * share)
      while Clock.monotonicNanoseconds < until && !state.isOver.load(ordering: .relaxed) {}
      if share < 1 { usleep(UInt32(period * (1 - share) / 1000)) }
    }
  }
}
