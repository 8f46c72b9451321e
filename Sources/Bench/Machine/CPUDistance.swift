// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import Synchronization

/// How far the first two CPUs are from each other: the time one cache line takes from one to the other. On a
/// shared machine this changes by minutes, and every network's figures with it.
public enum CPUDistance {
  private final class Line: Sendable {
    let turn = Atomic<Int>(0)
    let stop = Atomic(false)
  }

  private static let bounces = 2000
  private static let rounds = 5
  private static let patience: UInt64 = 200_000_000

  /// Nanoseconds one way, the best of a few short rounds (whatever else runs only adds); nil on one CPU, or
  /// when the CPUs were taken away for too long to tell.
  public static func measure() throws(Failure) -> Double? {
    guard CPU.count > 1 else { return nil }
    let line = Line()
    let total = bounces * rounds
    let partner = try DedicatedThread {
      guard (try? CPU.pin(to: 1)) != nil else { return line.stop.store(true, ordering: .relaxed) }
      for index in 0..<total {
        while line.turn.load(ordering: .acquiring) != 2 * index + 1 {
          if line.stop.load(ordering: .relaxed) { return }
        }
        line.turn.store(2 * index + 2, ordering: .releasing)
      }
    }
    let best = Mutex<Double?>(nil)
    do throws(Failure) {
      let leader = try DedicatedThread {
        let found = (try? CPU.pin(to: 0)) == nil ? nil : lead(line)
        best.withLock { $0 = found }
        line.stop.store(true, ordering: .relaxed)
      }
      leader.join()
    } catch {
      line.stop.store(true, ordering: .relaxed)
      partner.join()
      throw error
    }
    partner.join()
    return best.withLock { $0 }
  }

  private static func lead(_ line: Line) -> Double? {
    let deadline = Clock.monotonicNanoseconds + patience
    var best: Double?
    for round in 0..<rounds {
      let start = Clock.monotonicNanoseconds
      for index in round * bounces..<(round + 1) * bounces {
        line.turn.store(2 * index + 1, ordering: .releasing)
        var spins = 0
        while line.turn.load(ordering: .acquiring) != 2 * index + 2 {
          spins += 1
          if spins & 0xfff == 0 {
            if line.stop.load(ordering: .relaxed) || Clock.monotonicNanoseconds > deadline { return best }
          }
        }
      }
      let oneWay = Double(Clock.monotonicNanoseconds - start) / Double(2 * bounces)
      best = min(best ?? oneWay, oneWay)
    }
    return best
  }
}
