// SPDX-License-Identifier: Apache-2.0
import CLinuxSystem
import Glibc
import LinuxSystem
import Synchronization
import SystemPackage

/// poll(2) over a handful of descriptors, with a bell that other threads ring.
struct Poller: ~Copyable {
  private var waiting: [pollfd] = []
  private let bellReading: OwnedDescriptor
  let bell: OwnedDescriptor

  init() throws {
    var ends: [Int32] = [0, 0]
    guard culvert_pipe(&ends, true) == 0 else { throw Failure("create", "a pipe", errno: .last) }
    bellReading = OwnedDescriptor(adopting: ends[0])
    bell = OwnedDescriptor(adopting: ends[1])
    add(ends[0])
  }

  mutating func add(_ descriptor: Int32) {
    waiting.append(pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0))
  }

  /// Descriptors that are readable; empty after `milliseconds` without any.
  mutating func wait(milliseconds: Int32) -> [Int32] {
    guard poll(&waiting, nfds_t(waiting.count), milliseconds) > 0 else { return [] }
    let ready = waiting.filter { $0.revents != 0 }.map(\.fd)
    if ready.contains(bellReading.raw) {
      var bytes = [UInt8](repeating: 0, count: 64)
      while read(bellReading.raw, &bytes, bytes.count) == bytes.count {}
    }
    return ready
  }
}

/// Messages for the event loop's thread, and the bell that wakes it.
final class Mailbox: Sendable {
  enum Message: Sendable {
    /// Called with nil where the loop has ended.
    case ask(@Sendable (Engine?) -> Void)
    case stop
  }

  private struct State {
    var queue: [Message] = []
    var bell: Int32?
    var isClosed = false
  }
  private let state = Mutex(State())

  func open(bell: Int32) { state.withLock { $0.bell = bell } }

  /// False once the loop has ended.
  func post(_ message: Message) -> Bool {
    state.withLock { state in
      guard !state.isClosed else { return false }
      state.queue.append(message)
      if let bell = state.bell {
        var ring: UInt8 = 1
        _ = write(bell, &ring, 1)
      }
      return true
    }
  }

  func take() -> [Message] {
    state.withLock { state in
      defer { state.queue = [] }
      return state.queue
    }
  }

  /// Refuses further messages and answers those that nobody will serve. The
  /// bell's descriptor may be closed afterwards.
  func close() {
    let left = state.withLock { state in
      state.isClosed = true
      state.bell = nil
      defer { state.queue = [] }
      return state.queue
    }
    for case .ask(let question) in left { question(nil) }
  }
}
