// SPDX-License-Identifier: Apache-2.0
import Glibc
import Synchronization
import SystemPackage

/// Standard output and standard error. FileHandle traps where a write fails; these do not.
public enum StandardStream {
  /// Call first: where a process is started without one of its three streams, the next file that it opens would get
  /// that number, and with it the messages.
  public static func reserve() {
    while true {
      let raw = open("/dev/null", O_RDWR)
      guard raw >= 0, raw <= 2 else {
        if raw > 2 { close(raw) }
        return
      }
    }
  }

  /// Results: written whole, or a failure that says why not.
  public static func result(_ text: String) throws(Failure) { try result(Array(text.utf8)) }

  public static func result(_ bytes: [UInt8]) throws(Failure) {
    var sent = 0
    while sent < bytes.count {
      let count = bytes.withUnsafeBytes { write(1, $0.baseAddress! + sent, $0.count - sent) }
      if count > 0 {
        sent += count
      } else {
        let errno = Errno.last
        if errno == .interrupted { continue }
        // A pipe that somebody made nonblocking.
        guard errno == .resourceTemporarilyUnavailable, isWritable(1, milliseconds: -1) else {
          throw Failure("write", "standard output", errno: errno)
        }
      }
    }
  }

  /// Messages: whatever nobody takes is lost (a closed pipe or terminal, a full disk), and nobody waits for a
  /// reader that has stopped reading: what carries packets must not hang on its log.
  public static func message(_ text: String) {
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
      // A pipe that is writable takes this much without blocking (PIPE_BUF, pipe(7)).
      let part = Array(rest.prefix(4096))
      guard isWritable(2, milliseconds: isStuck.load(ordering: .relaxed) ? 0 : 1000) else {
        return isStuck.store(true, ordering: .relaxed)
      }
      isStuck.store(false, ordering: .relaxed)
      let count = write(2, part, part.count)
      if count > 0 {
        rest = rest.dropFirst(count)
      } else if Errno.last != .interrupted {
        return
      }
    }
  }

  /// The last message found no reader within a second; the next one does not wait.
  private static let isStuck = Atomic(false)

  private static func isWritable(_ descriptor: Int32, milliseconds: Int32) -> Bool {
    var waiting = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
    while true {
      let count = poll(&waiting, 1, milliseconds)
      if count > 0 { return true }
      guard count < 0, Errno.last == .interrupted else { return false }
    }
  }
}
