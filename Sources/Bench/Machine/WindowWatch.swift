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
    var busy: Double?
  }

  init(_ meter: CPUMeter) { self.meter = meter }

  func open(from: UInt64, until: UInt64) {
    let thread = try? DedicatedThread { [self] in
      Self.sleep(until: from)
      let first = meter.read()
      Self.sleep(until: until)
      let busy = meter.busy(from: first, to: meter.read())
      state.withLock { $0.busy = busy }
    }
    state.withLock { $0.thread = thread }
  }

  /// nil where the machine was not idle when it was calibrated.
  func busyCPUs() throws(Failure) -> Double? {
    state.withLock { $0.thread }?.join()
    guard let busy = state.withLock({ $0.busy }) else {
      throw Failure("measure", "CPU time", advice: "The trial opened no window.")
    }
    return meter.isTrustworthy ? busy : nil
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
