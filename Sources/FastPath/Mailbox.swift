// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import Synchronization

/// Messages for the event loop's thread, and the bell that wakes it. The bell lives as long as whoever may ring it.
final class Mailbox: Sendable {
  enum Message: Sendable {
    /// Called with nil where the loop has ended.
    case ask(@Sendable (Agent?) -> Void)
    /// Ends the session of a control socket, or all where there is none. Told what was restored once all is given back;
    /// nil where the loop has ended.
    case stop(String?, @Sendable ([String]?) -> Void)
  }

  private struct State {
    var queue: [Message] = []
    var isClosed = false
  }
  private let state = Mutex(State())
  private let bell: Bell

  init() throws(Failure) { bell = try Bell() }

  /// Readable while there may be messages.
  var descriptor: Int32 { bell.descriptor }

  /// False once the loop has ended.
  func post(_ message: Message) -> Bool {
    let isOpen = state.withLock { state in
      guard !state.isClosed else { return false }
      state.queue.append(message)
      return true
    }
    if isOpen { bell.ring() }
    return isOpen
  }

  func take() -> [Message] {
    bell.silence()
    return state.withLock { state in
      defer { state.queue = [] }
      return state.queue
    }
  }

  /// Refuses further messages and answers those that nobody will serve.
  func close() {
    let left = state.withLock { state in
      state.isClosed = true
      defer { state.queue = [] }
      return state.queue
    }
    for message in left {
      switch message {
      case .ask(let question): question(nil)
      case .stop(_, let tell): tell(nil)
      }
    }
  }
}
