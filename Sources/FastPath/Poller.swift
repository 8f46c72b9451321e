// SPDX-License-Identifier: Apache-2.0
import Glibc

/// poll(2) over a handful of descriptors that outlive it.
struct Poller: ~Copyable {
  private var waiting: [pollfd] = []

  mutating func add(_ descriptor: Int32) {
    waiting.append(pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0))
  }

  /// Descriptors that are readable; empty after `milliseconds` without any.
  mutating func wait(milliseconds: Int32) -> [Int32] {
    guard poll(&waiting, nfds_t(waiting.count), milliseconds) > 0 else { return [] }
    return waiting.filter { $0.revents != 0 }.map(\.fd)
  }
}
