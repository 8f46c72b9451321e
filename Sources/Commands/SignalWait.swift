// SPDX-License-Identifier: Apache-2.0
import Glibc

/// SIGINT, SIGTERM and SIGHUP, blocked for every thread started later and
/// waited for by one.
struct SignalWait: Sendable {
  init() {
    var set = Self.set
    pthread_sigmask(SIG_BLOCK, &set, nil)
    signal(SIGPIPE, SIG_IGN)
  }

  private static var set: sigset_t {
    var set = sigset_t()
    sigemptyset(&set)
    for number in [SIGINT, SIGTERM, SIGHUP, SIGUSR1] { sigaddset(&set, number) }
    return set
  }

  /// The signal's name, or nil after `interrupt`.
  func wait() -> String? {
    var set = Self.set
    var number: Int32 = 0
    sigwait(&set, &number)
    return [SIGINT: "SIGINT", SIGTERM: "SIGTERM", SIGHUP: "SIGHUP"][number]
  }

  /// Ends `wait` from another thread.
  func interrupt() { kill(getpid(), SIGUSR1) }
}
