// SPDX-License-Identifier: Apache-2.0
import Foundation
import Glibc
import LinuxSystem
import Netlink
import PacketHeaders
import Synchronization

/// The fast path of one or more overlays, running on a thread of its own until it is stopped,
/// asked to by `culvert down`, or its process dies; then the kernel's path is back.
public final class FastPathService: Sendable {
  private let mailbox: Mailbox
  private let thread: DedicatedThread
  private let ended: Ended
  /// Tier and mode obtained for the first overlay, as "xdp native"; empty where none is served yet.
  public let obtained: String

  /// Of one overlay.
  public static func start(
    _ options: FastPathOptions, report: @escaping @Sendable (String) -> Void = { _ in }
  ) throws -> FastPathService {
    try start(AgentOptions(overlays: [options.overlay], each: options), report: report)
  }

  /// Returns once packets are carried. `report` is called from the service's
  /// thread with a line for people.
  /// - Parameter candidates: paths of the namespaces that overlays are looked for in, where all are asked for.
  public static func start(
    _ options: AgentOptions, report: @escaping @Sendable (String) -> Void = { _ in },
    candidates: @escaping @Sendable () -> [String] = { NamespaceSearch.candidates() }
  ) throws -> FastPathService {
    do { return try begin(options, report: report, candidates: candidates) } catch let taken as UplinkTaken {
      throw taken.failure
    }
  }

  static func begin(
    _ options: AgentOptions, report: @escaping @Sendable (String) -> Void,
    candidates: @escaping @Sendable () -> [String] = { NamespaceSearch.candidates() }
  ) throws -> FastPathService {
    try options.check()
    guard geteuid() == 0 else {
      throw Failure(
        "start", "the fast path", errno: .notPermitted,
        advice: "Run as root (it needs CAP_NET_ADMIN, CAP_BPF and CAP_SYS_ADMIN).")
    }
    let mailbox = try Mailbox()
    let ended = Ended()
    let started = Started()
    let obtained = Answer<String>()
    // Opened here, so that a wrong name is the caller's error; the thread moves into it.
    let namespace = Box(try NetworkNamespace.open(options.each.namespace))
    nonisolated(unsafe) let place = namespace
    let thread = try DedicatedThread {
      do {
        try place.value.enter()
        Overlays.restoreOrphans(report)
        let agent = try Agent(options, in: place, mailbox, candidates: candidates, report: report)
        defer { agent.stop() }
        try agent.start()
        try agent.run {
          obtained.finish(.success(agent.sessions.first?.obtained ?? ""))
          started.finish(nil)
        }
        ended.finish(nil)
      } catch {
        started.finish(error)
        ended.finish(error)
      }
    }
    try started.wait()
    return FastPathService(
      mailbox: mailbox, thread: thread, ended: ended, obtained: try obtained.wait())
  }

  private init(mailbox: Mailbox, thread: DedicatedThread, ended: Ended, obtained: String) {
    self.mailbox = mailbox
    self.thread = thread
    self.ended = ended
    self.obtained = obtained
  }

  /// Detaches and restores what was changed; returns when that is done.
  public func stop() throws {
    _ = mailbox.post(.stop(nil) { _ in })
    thread.join()
    try ended.check()
  }

  /// Waits until the service ends by itself: `culvert down`, or a failure.
  public func waitUntilEnded() throws {
    thread.join()
    try ended.check()
  }

  /// Of the first overlay.
  public func status() throws -> Status { try askFirst { try $0.status() } }
  public func stats() throws -> Stats { try askFirst { try $0.stats() } }
  /// Of every overlay that is served.
  public func statuses() throws -> [Status] {
    try ask { agent in try agent.served.map { one in try agent.ask(one) { try $0.status() } } }
  }
  /// Of those that were found and are not served.
  public func refused() throws -> [Status.Refused] { try ask { $0.refusedOverlays } }

  /// Reads the maps beside the service's thread, without waiting for it.
  public func tableReader() throws -> TableReader { try askEngine { try $0.tables.reader() } }

  /// Puts so many addresses from `first` on into the table, which lead where `known` does and never age: for
  /// measuring. The kernel knows none of them. False while `known` has no entry itself.
  public func add(_ count: Int, from first: MACAddress, like known: MACAddress) throws -> Bool {
    try askEngine { engine in
      guard let target = engine.table.entries[known]?.target else { return false }
      for number in 0..<UInt64(count) {
        try engine.tables.set(ForwardingEntry(target: target), for: MACAddress(value: first.value + number))
      }
      try engine.tier.commit()
      return true
    }
  }

  /// As after an overrun; for tests.
  func resynchronise() throws { try askEngine { try $0.resynchronise(because: "asked to") } }

  /// Of the first bridged overlay.
  private func askEngine<T: Sendable>(_ question: @escaping @Sendable (Engine) throws -> T) throws -> T {
    try askFirst { session in
      guard let engine = session as? Engine else { throw Self.over }
      return try question(engine)
    }
  }

  private func askFirst<T: Sendable>(
    _ question: @escaping @Sendable (any OverlaySession) throws -> T
  ) throws -> T {
    try ask { agent in
      guard let one = agent.served.first else { throw Self.over }
      return try agent.ask(one, question)
    }
  }

  private static let over = Failure("ask", "the fast path", advice: "It has ended.")

  private func ask<T: Sendable>(_ question: @escaping @Sendable (Agent) throws -> T) throws -> T {
    let answer = Answer<T>()
    let posted = mailbox.post(
      .ask { agent in
        answer.finish(Result { if let agent { try question(agent) } else { throw Self.over } })
      })
    guard posted else { throw Self.over }
    return try answer.wait()
  }
}

/// Hands a result from the service's thread to the one that waits.
final class Answer<T: Sendable>: Sendable {
  private let result = Mutex<Result<T, any Error>?>(nil)
  private let semaphore = DispatchSemaphore(value: 0)

  func finish(_ value: Result<T, any Error>) {
    let first = result.withLock { stored in
      defer { if stored == nil { stored = value } }
      return stored == nil
    }
    if first { semaphore.signal() }
  }

  func wait() throws -> T {
    semaphore.wait()
    return try result.withLock { $0! }.get()
  }
}

final class Started: Sendable {
  private let answer = Answer<Void>()
  func finish(_ error: (any Error)?) { answer.finish(error.map { .failure($0) } ?? .success(())) }
  func wait() throws { try answer.wait() }
}

final class Ended: Sendable {
  private let error = Mutex<(any Error)?>(nil)
  func finish(_ error: (any Error)?) { self.error.withLock { $0 = error } }
  func check() throws { if let error = error.withLock({ $0 }) { throw error } }
}
