// SPDX-License-Identifier: Apache-2.0
import Glibc
import SystemPackage

/// A POSIX thread for work that changes thread state (namespace, affinity,
/// scheduling class) and must therefore not run on a shared pool.
public final class DedicatedThread: @unchecked Sendable {
  private var thread = pthread_t()
  private var joined = false

  private final class Start {
    let body: () -> Void
    init(_ body: @escaping () -> Void) { self.body = body }
  }

  public init(_ body: @escaping @Sendable () -> Void) throws(Failure) {
    let start = Unmanaged.passRetained(Start(body))
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
  }

  /// Waits for the body's end. Call once, or not at all to leave it detached at exit.
  public func join() {
    guard !joined else { return }
    joined = true
    pthread_join(thread, nil)
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
