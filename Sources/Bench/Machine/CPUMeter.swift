// SPDX-License-Identifier: Apache-2.0
import CLinuxSystem
import Glibc
import LinuxSystem
import Synchronization
import SystemPackage

/// CPU time that everything else takes, over all CPUs: one thread per CPU of the lowest class (SCHED_IDLE)
/// reads the clock without pause; a gap between two readings is time that was taken from it, by tasks, soft
/// interrupts and interrupts alike (/proc/stat, sampled at the tick, misses those). Calibrated against the
/// idle machine.
///
/// The spinners keep the CPUs from going idle, which changes wake-ups: figures for speed come from other
/// trials, and both are compared.
public final class CPUMeter: Sendable {
  private final class Spinner: Sendable {
    let taken = Atomic<UInt64>(0)
    let lastSeen = Atomic<UInt64>(0)
    let problem = Atomic<Int32>(0)
  }

  /// Longer than reading the clock, shorter than any interrupt.
  private static let gap: UInt64 = 250

  private let spinners: [Spinner]
  private let threads: [DedicatedThread]
  private let stop: Stop
  /// Share of all CPUs' time (1 is one CPU) that the idle machine takes.
  public var idleShare: Double { idle.reduce(0, +) }
  /// The same of each CPU.
  private let idle: [Double]

  private final class Stop: Sendable { let flag = Atomic(false) }

  /// Calibrates for a third of a second. Throws where SCHED_IDLE is refused.
  public init() throws(Failure) {
    let stop = Stop()
    let spinners = (0..<CPU.count).map { _ in Spinner() }
    var threads: [DedicatedThread] = []
    func end() {
      stop.flag.store(true, ordering: .relaxed)
      for thread in threads { thread.join() }
    }
    do throws(Failure) {
      for (cpu, spinner) in spinners.enumerated() {
        threads.append(try DedicatedThread { Self.spin(spinner, cpu: cpu, stop: stop) })
      }
      usleep(30_000)
      for spinner in spinners {
        let problem = spinner.problem.load(ordering: .relaxed)
        guard problem == 0 else {
          throw Failure("start", "an idle-class thread per CPU", errno: Errno(rawValue: -problem))
        }
      }
    } catch {
      end()
      throw error
    }
    // The quietest of some slices: what else runs on the machine comes and goes.
    var idle = [Double](repeating: .infinity, count: spinners.count)
    for _ in 0..<8 {
      let first = Self.reading(spinners)
      usleep(40_000)
      let shares = Self.shares(first, Self.reading(spinners))
      if shares.reduce(0, +) < idle.reduce(0, +) { idle = shares }
    }
    self.idle = idle
    self.spinners = spinners
    self.threads = threads
    self.stop = stop
  }

  deinit { finish() }

  /// Whether the machine was idle enough to tell a trial's CPU time from others'.
  public var isTrustworthy: Bool { idleShare < 0.1 * Double(spinners.count) }

  /// Ends the spinners; readings after it mean nothing.
  public func finish() {
    stop.flag.store(true, ordering: .relaxed)
    for thread in threads { thread.join() }
  }

  public struct Reading: Sendable {
    var at: UInt64
    /// By CPU.
    var taken: [UInt64]
  }

  public func read() -> Reading { Self.reading(spinners) }

  /// CPUs busy between two readings beyond what the idle machine takes; 2.0 is two whole CPUs.
  public func busy(from first: Reading, to second: Reading) -> Double {
    max(0, Self.shares(first, second).reduce(0, +) - idleShare)
  }

  /// The same of one CPU.
  func busy(cpu: Int, from first: Reading, to second: Reading) -> Double {
    max(0, Self.shares(first, second)[cpu] - idle[cpu])
  }

  private static func shares(_ first: Reading, _ second: Reading) -> [Double] {
    zip(first.taken, second.taken).map { before, after in
      second.at > first.at ? Double(after &- before) / Double(second.at - first.at) : 0
    }
  }

  private static func reading(_ spinners: [Spinner]) -> Reading {
    let now = Clock.monotonicNanoseconds
    let taken = spinners.map { spinner in
      let seen = spinner.lastSeen.load(ordering: .acquiring)
      let whole = spinner.taken.load(ordering: .relaxed)
      // The gap that it is in the middle of.
      return now > seen &+ gap ? whole &+ (now - seen) : whole
    }
    return Reading(at: now, taken: taken)
  }

  private static func spin(_ spinner: Spinner, cpu: Int, stop: Stop) {
    var status = culvert_pin(Int32(cpu))
    if status == 0 { status = culvert_set_idle_class() }
    guard status == 0 else { return spinner.problem.store(status, ordering: .relaxed) }
    var last = Clock.monotonicNanoseconds
    while !stop.flag.load(ordering: .relaxed) {
      let now = Clock.monotonicNanoseconds
      if now - last > gap { spinner.taken.add(now - last, ordering: .relaxed) }
      spinner.lastSeen.store(now, ordering: .releasing)
      last = now
    }
  }
}
