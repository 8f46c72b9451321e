// SPDX-License-Identifier: Apache-2.0
import Glibc
import LinuxSystem
import Synchronization

/// Reads the CPU meter at both ends of a trial's window, from a thread of its own.
final class WindowWatch: Sendable {
  private let meter: CPUMeter
  private let state = Mutex<State>(State())

  private struct State {
    var thread: DedicatedThread?
    var readings: (first: CPUMeter.Reading, second: CPUMeter.Reading)?
  }

  init(_ meter: CPUMeter) { self.meter = meter }

  func open(from: UInt64, until: UInt64) {
    let thread = try? DedicatedThread { [self] in
      Self.sleep(until: from)
      let first = meter.read()
      Self.sleep(until: until)
      let second = meter.read()
      state.withLock { $0.readings = (first, second) }
    }
    state.withLock { $0.thread = thread }
  }

  /// nil where the machine was not idle when it was calibrated.
  func busyCPUs() throws(Failure) -> Double? {
    let (first, second) = try readings()
    return meter.isTrustworthy ? meter.busy(from: first, to: second) : nil
  }

  /// Of one CPU, 0 to 1, beyond what the machine took of it before, however much that was.
  func busy(cpu: Int) throws(Failure) -> Double {
    let (first, second) = try readings()
    return meter.busy(cpu: cpu, from: first, to: second)
  }

  private func readings() throws(Failure) -> (CPUMeter.Reading, CPUMeter.Reading) {
    state.withLock { $0.thread }?.join()
    guard let readings = state.withLock({ $0.readings }) else {
      throw Failure("measure", "CPU time", advice: "The trial opened no window.")
    }
    return readings
  }

  func finish() {
    state.withLock { $0.thread }?.join()
    meter.finish()
  }

  private static func sleep(until instant: UInt64) {
    let now = Clock.monotonicNanoseconds
    if instant > now { usleep(UInt32((instant - now) / 1000)) }
  }
}
