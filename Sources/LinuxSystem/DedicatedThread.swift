// SPDX-License-Identifier: Apache-2.0
import Glibc
import Synchronization
import SystemPackage

/// A POSIX thread for work that changes thread state (namespace, affinity,
/// scheduling class) and must therefore not run on a shared pool.
public final class DedicatedThread: Sendable {
  /// nil once it has been joined.
  private let thread: Mutex<pthread_t?>

  private final class Start {
    let body: () -> Void
    init(_ body: @escaping () -> Void) { self.body = body }
  }

  public init(_ body: @escaping @Sendable () -> Void) throws(Failure) {
    let start = Unmanaged.passRetained(Start(body))
    var thread = pthread_t()
    let status = pthread_create(
      &thread, nil,
      { argument in
        Unmanaged<Start>.fromOpaque(argument!).takeRetainedValue().body()
        return nil
      }, start.toOpaque())
    if status != 0 {
      start.release()
      throw Failure("start", "a thread", errno: Errno(rawValue: status))
    }
    self.thread = Mutex(thread)
  }

  /// Whoever never joined it gives its resources back when it ends.
  deinit { thread.withLock { if let left = $0 { pthread_detach(left) } } }

  /// Waits for the body's end; from any number of threads, as often as they like.
  public func join() {
    thread.withLock { thread in
      guard let running = thread else { return }
      pthread_join(running, nil)
      thread = nil
    }
  }

  /// Runs `body` on a thread of its own and waits for its result.
  public static func run<T>(_ body: () throws -> T) throws -> T {
    try withoutActuallyEscaping(body) { escaping in
      nonisolated(unsafe) let work = escaping
      nonisolated(unsafe) var result: Result<T, any Error>?
      let thread = try DedicatedThread { result = Result { try work() } }
      thread.join()
      return try result!.get()
    }
  }
}
