// SPDX-License-Identifier: Apache-2.0
import Glibc
import LinuxSystem
import Synchronization
import SystemPackage

/// A client, a server and the port that one run uses on both.
public struct Path: Sendable {
  public var client: Station
  public var server: Station
  public var port: UInt16
  /// Over IPv6 instead of IPv4.
  public var overIPv6 = false
  /// Told, on the client's thread, when the window that counts begins and ends (CLOCK_MONOTONIC, ns).
  public var onWindow: (@Sendable (_ from: UInt64, _ until: UInt64) -> Void)?

  public init(client: Station, server: Station, port: UInt16) {
    self.client = client
    self.server = server
    self.port = port
  }

  func endpoint(of station: Station) throws(Failure) -> Endpoint {
    guard overIPv6 else { return Endpoint(.v4(station.ipv4), port: port) }
    guard let ipv6 = station.ipv6 else {
      throw Failure(
        "use IPv6 between", "\(client.name) and \(server.name)", advice: "One has no IPv6 address.")
    }
    return Endpoint(.v6(ipv6), port: port)
  }
}

/// How long a load runs before it counts, and how long it counts, in seconds.
public struct LoadTiming: Sendable {
  public var warmUp: Double
  public var duration: Double
  public init(warmUp: Double, duration: Double) {
    self.warmUp = warmUp
    self.duration = duration
  }
}

/// What the two threads of a run tell each other.
final class Meeting: Sendable {
  private let serverReady = Atomic(false)
  private let clientDone = Atomic(false)
  private let failed = Atomic(false)
  private let failures = Mutex<[Failure]>([])
  private let windowFrom = Atomic<UInt64>(.max)
  private let windowUntil = Atomic<UInt64>(.max)

  /// Nothing waits past this, whatever happens (CLOCK_MONOTONIC, ns).
  let deadline: UInt64

  private let onWindow: (@Sendable (UInt64, UInt64) -> Void)?

  init(timing: LoadTiming, onWindow: (@Sendable (UInt64, UInt64) -> Void)? = nil) {
    self.onWindow = onWindow
    deadline = Clock.monotonicNanoseconds + nanoseconds(timing.warmUp + timing.duration + 5)
  }

  var isOver: Bool { Clock.monotonicNanoseconds > deadline || failed.load(ordering: .acquiring) }
  var isClientDone: Bool { clientDone.load(ordering: .acquiring) }

  func serverIsReady() { serverReady.store(true, ordering: .releasing) }
  func clientIsDone() { clientDone.store(true, ordering: .releasing) }

  /// What failed first explains the rest.
  func fail(_ failure: Failure) {
    failures.withLock { $0.append(failure) }
    failed.store(true, ordering: .releasing)
  }
  var firstFailure: Failure? { failures.withLock { $0.first } }

  /// The client's first step: false when the server never came up.
  func waitForServer() -> Bool {
    while !serverReady.load(ordering: .acquiring) {
      if isOver { return false }
      usleep(200)
    }
    return true
  }

  /// Both threads count what happens between these two instants.
  func openWindow(_ timing: LoadTiming) -> Window {
    let from = Clock.monotonicNanoseconds + nanoseconds(timing.warmUp)
    let until = from + nanoseconds(timing.duration)
    windowUntil.store(until, ordering: .relaxed)
    windowFrom.store(from, ordering: .releasing)
    onWindow?(from, until)
    return Window(from: from, until: until)
  }

  var window: Window {
    let from = windowFrom.load(ordering: .acquiring)
    return Window(from: from, until: windowUntil.load(ordering: .relaxed))
  }
}

/// An interval of CLOCK_MONOTONIC in nanoseconds.
struct Window: Sendable {
  var from: UInt64
  var until: UInt64
  @inline(__always)
  func contains(_ instant: UInt64) -> Bool { instant >= from && instant < until }
}

func nanoseconds(_ seconds: Double) -> UInt64 { UInt64(max(0, seconds) * 1e9) }

extension Path {
  /// Runs the two ends on threads of their own, each in its namespace and on its CPU. The first failure ends
  /// both.
  func run<S: Sendable, C: Sendable>(
    _ timing: LoadTiming,
    server serve: @escaping @Sendable (Meeting) throws(Failure) -> S,
    client load: @escaping @Sendable (Meeting) throws(Failure) -> C
  ) throws(Failure) -> (server: S, client: C) {
    let meeting = Meeting(timing: timing, onWindow: onWindow)
    let served = Mutex<Result<S, Failure>?>(nil)
    let loaded = Mutex<Result<C, Failure>?>(nil)
    let ends = self
    @Sendable func body<T: Sendable>(
      _ station: Station, _ work: @escaping @Sendable (Meeting) throws(Failure) -> T
    ) -> Result<T, Failure> {
      let result = Result { () throws(Failure) -> T in
        try station.enter()
        return try work(meeting)
      }
      if case .failure(let failure) = result { meeting.fail(failure) }
      return result
    }
    let server = try DedicatedThread {
      let result = body(ends.server, serve)
      served.withLock { $0 = result }
    }
    do throws(Failure) {
      let client = try DedicatedThread {
        let result = body(ends.client, load)
        loaded.withLock { $0 = result }
        meeting.clientIsDone()
      }
      client.join()
    } catch {
      meeting.fail(error)
      server.join()
      throw error
    }
    server.join()
    if let failure = meeting.firstFailure { throw failure }
    return try (served.withLock { $0! }.get(), loaded.withLock { $0! }.get())
  }
}
