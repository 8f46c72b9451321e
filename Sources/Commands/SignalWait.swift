// SPDX-License-Identifier: Apache-2.0
import Glibc
import Synchronization

/// SIGINT, SIGTERM and SIGHUP, blocked for every thread started later and
/// waited for by one. A write to a pipe that nobody reads fails instead of ending the process.
final class SignalWait: Sendable {
  private let isInterrupted = Atomic(false)

  init() {
    var set = Self.set
    pthread_sigmask(SIG_BLOCK, &set, nil)
    signal(SIGPIPE, SIG_IGN)
  }

  private static let names = [SIGINT: "SIGINT", SIGTERM: "SIGTERM", SIGHUP: "SIGHUP"]
  private static var set: sigset_t {
    var set = sigset_t()
    sigemptyset(&set)
    for number in names.keys { sigaddset(&set, number) }
    // Ours, to wake the one that waits; from anybody else it means nothing.
    sigaddset(&set, SIGUSR1)
    return set
  }

  /// The signal's name, or nil after `interrupt`.
  func wait() -> String? {
    var set = Self.set
    while true {
      var number: Int32 = 0
      sigwait(&set, &number)
      if let name = Self.names[number] { return name }
      if isInterrupted.load(ordering: .acquiring) { return nil }
    }
  }

  /// Ends `wait` from another thread.
  func interrupt() {
    isInterrupted.store(true, ordering: .releasing)
    kill(getpid(), SIGUSR1)
  }
}
