// SPDX-License-Identifier: Apache-2.0
import Glibc
import LinuxSystem
import Synchronization

/// SIGINT, SIGTERM or SIGHUP asks a measurement to stop after the trial that runs; a second one ends the
/// process at once, which leaves no namespace either.
final class Interruption: Sendable {
  private let flag = Atomic(false)
  var happened: Bool { flag.load(ordering: .acquiring) }

  init() throws {
    let signals = SignalWait()
    _ = try DedicatedThread { [self] in
      _ = signals.wait()
      flag.store(true, ordering: .releasing)
      Terminal.note("\ninterrupted: finishing this trial; again to stop at once")
      _ = signals.wait()
      _exit(130)
    }
  }
}
