// SPDX-License-Identifier: Apache-2.0
import Glibc
import LinuxSystem
import Synchronization

/// What the threads of a run tell each other: one server and one client per flow.
final class Meeting: Sendable {
  private let flows: Int
  private let serversReady = Atomic<Int>(0)
  private let clientsReady = Atomic<Int>(0)
  private let clientsDone = Atomic<Int>(0)
  private let failed = Atomic(false)
  private let failures = Mutex<[Failure]>([])
  private let opened = Mutex<Window?>(nil)
  private let windowFrom = Atomic<UInt64>(.max)
  private let windowUntil = Atomic<UInt64>(.max)

  /// Nothing waits past this, whatever happens (CLOCK_MONOTONIC, ns).
  let deadline: UInt64

  private let onWindow: (@Sendable (UInt64, UInt64) -> Void)?

  init(timing: LoadTiming, flows: Int = 1, onWindow: (@Sendable (UInt64, UInt64) -> Void)? = nil) {
    self.flows = flows
    self.onWindow = onWindow
    deadline = Clock.monotonicNanoseconds + nanoseconds(timing.warmUp + timing.duration + 5)
  }

  var isOver: Bool { Clock.monotonicNanoseconds > deadline || failed.load(ordering: .acquiring) }
  /// All of them are.
  var isClientDone: Bool { clientsDone.load(ordering: .acquiring) == flows }

  func serverIsReady() { serversReady.add(1, ordering: .acquiringAndReleasing) }
  func clientIsDone() { clientsDone.add(1, ordering: .acquiringAndReleasing) }

  /// What failed first explains the rest.
  func fail(_ failure: Failure) {
    failures.withLock { $0.append(failure) }
    failed.store(true, ordering: .releasing)
  }
  var firstFailure: Failure? { failures.withLock { $0.first } }

  /// A client's first step: false when not every server came up.
  func waitForServer() -> Bool { wait(for: serversReady) }

  /// All threads count what happens between these two instants; they are the same for all, and set once the
  /// last client is ready to load.
  func openWindow(_ timing: LoadTiming) -> Window {
    clientsReady.add(1, ordering: .acquiringAndReleasing)
    // What keeps another client from coming ends this one too.
    _ = wait(for: clientsReady)
    return opened.withLock { opened in
      if let opened { return opened }
      let from = Clock.monotonicNanoseconds + nanoseconds(timing.warmUp)
      let window = Window(from: from, until: from + nanoseconds(timing.duration))
      windowUntil.store(window.until, ordering: .relaxed)
      windowFrom.store(from, ordering: .releasing)
      onWindow?(from, window.until)
      opened = window
      return window
    }
  }

  var window: Window {
    let from = windowFrom.load(ordering: .acquiring)
    return Window(from: from, until: windowUntil.load(ordering: .relaxed))
  }

  private func wait(for count: borrowing Atomic<Int>) -> Bool {
    while count.load(ordering: .acquiring) < flows {
      if isOver { return false }
      usleep(200)
    }
    return true
  }
}

extension Path {
  /// Runs the two ends on threads of their own, each in its namespace and on its CPU. The first failure ends
  /// both.
  func run<S: Sendable, C: Sendable>(
    _ timing: LoadTiming,
    server serve: @escaping @Sendable (Meeting) throws(Failure) -> S,
    client load: @escaping @Sendable (Meeting) throws(Failure) -> C
  ) throws(Failure) -> (server: S, client: C) {
    let ends = try run(
      timing, flows: 1,
      server: { (_, meeting) throws(Failure) in try serve(meeting) },
      client: { (_, meeting) throws(Failure) in try load(meeting) })
    return (ends.servers[0], ends.clients[0])
  }

  /// `flows` servers and clients, a thread each, on the CPU of their end; each is given its flow's path.
  func run<S: Sendable, C: Sendable>(
    _ timing: LoadTiming, flows: Int,
    server serve: @escaping @Sendable (Path, Meeting) throws(Failure) -> S,
    client load: @escaping @Sendable (Path, Meeting) throws(Failure) -> C
  ) throws(Failure) -> (servers: [S], clients: [C]) {
    guard (1...Self.flowLimit).contains(flows) else {
      throw Failure(
        "run", "\(flows) flows", advice: "1 to \(Self.flowLimit).", status: .usage)
    }
    let meeting = Meeting(timing: timing, flows: flows, onWindow: onWindow)
    var servers: [End<S>] = []
    var clients: [End<C>] = []
    do throws(Failure) {
      for index in 0..<flows { servers.append(try End(flow(index), \.server, meeting, serve)) }
      for index in 0..<flows {
        clients.append(
          try End(flow(index), \.client, meeting, load, atEnd: { meeting.clientIsDone() }))
      }
    } catch {
      meeting.fail(error)
    }
    for client in clients { client.join() }
    for server in servers { server.join() }
    if let failure = meeting.firstFailure { throw failure }
    return (try all(servers), try all(clients))
  }

  public static var flowLimit: Int { 8 }

  private func all<T>(_ ends: [End<T>]) throws(Failure) -> [T] {
    var results: [T] = []
    for end in ends { results.append(try end.result()) }
    return results
  }

  /// One thread and what came of it.
  private final class End<T: Sendable>: Sendable {
    private let thread: DedicatedThread
    private let outcome: Outcome

    private final class Outcome: Sendable {
      let value = Mutex<Result<T, Failure>?>(nil)
    }

    init(
      _ path: Path, _ end: KeyPath<Path, Station> & Sendable, _ meeting: Meeting,
      _ work: @escaping @Sendable (Path, Meeting) throws(Failure) -> T,
      atEnd: @escaping @Sendable () -> Void = {}
    ) throws(Failure) {
      let outcome = Outcome()
      thread = try DedicatedThread {
        let result = Result { () throws(Failure) -> T in
          try path[keyPath: end].enter()
          return try work(path, meeting)
        }
        if case .failure(let failure) = result { meeting.fail(failure) }
        outcome.value.withLock { $0 = result }
        atEnd()
      }
      self.outcome = outcome
    }

    func join() { thread.join() }
    /// After `join`.
    func result() throws(Failure) -> T { try outcome.value.withLock { $0! }.get() }
  }
}
