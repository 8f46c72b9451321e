// SPDX-License-Identifier: Apache-2.0
import Foundation
import LinuxSystem
import Netlink

/// Serves overlays from one thread: waits for what the kernel announces to any of them, for control clients and for
/// posted work. Overlays that are found come and go; the thread is in the namespace of whichever it works for.
final class Agent {
  struct Served {
    let session: any OverlaySession
    let namespace: Box<NetworkNamespace>
    /// Of one that was found.
    let device: Device?
    /// It was named, by somebody who does not read what is reported here.
    let leavesRecord: Bool
  }
  private(set) var served: [Served] = []
  var sessions: [any OverlaySession] { served.map(\.session) }
  /// Overlays that were found and are not served.
  private(set) var refused: [Device: (overlay: FoundOverlay, backoff: Backoff)] = [:]
  /// Ended by `culvert down`: not served again while their device is the same.
  private var dismissed: Set<Device> = []

  let options: AgentOptions
  private let home: Box<NetworkNamespace>
  private let underlays = Underlays()
  private let mailbox: Mailbox
  private let control: ControlServer
  private let report: (String) -> Void
  private let finder: OverlayFinder?
  /// Where it answers itself, while it looks for overlays.
  let record: AgentRecord?
  private var current: NetworkNamespace.Identity
  /// Whether lines of the report say which overlay they are about.
  var labelsReports: Bool

  /// Runs on its thread, in the namespace that the options name.
  init(
    _ options: AgentOptions, in home: Box<NetworkNamespace>, _ mailbox: Mailbox,
    candidates: @escaping () -> [String] = NamespaceSearch.candidates, report: @escaping (String) -> Void
  ) throws {
    self.options = options
    labelsReports = options.overlays?.count != 1
    self.home = home
    self.mailbox = mailbox
    self.report = report
    current = home.value.identity
    control = try ControlServer { [mailbox] path, request, reply in
      Self.serve(path, request, mailbox, reply)
    }
    guard options.overlays == nil else {
      (finder, record) = (nil, nil)
      return
    }
    do {
      finder = try OverlayFinder(home: current, candidates: options.allNamespaces ? candidates : nil)
      record = try AgentRecord(current, named: options.each.namespace)
      try control.listen(at: record!.directory.socketPath)
    } catch {
      control.stop()
      throw error
    }
  }

  // MARK: - Overlays

  /// Begins with what is named, of which nothing may fail, or with what is found.
  func start() throws {
    guard let names = options.overlays else { return search() }
    var made: [Served] = []
    do {
      for name in names { made.append(try make(name, in: home, options.each.namespace, device: nil)) }
      while !made.isEmpty { try begin(made.removeFirst()) }
    } catch {
      for one in made { _ = remove(one) }
      throw error
    }
  }

  /// Finds and locks it, restores what a dead owner left, attaches nothing. All are made before one begins: what was left
  /// at an uplink is written down with any of those that shared it.
  func make(
    _ name: String, in namespace: Box<NetworkNamespace>, _ reference: String?, device: Device?,
    _ each: FastPathOptions? = nil
  ) throws -> Served {
    try enter(namespace)
    var options = each ?? self.options.each
    options.overlay = name
    options.namespace = reference
    let label = reference.map { "\(name) in \($0)" } ?? name
    let session = try makeSession(options, underlays) { [report, unowned self] line in
      report(labelsReports ? "\(label): \(line)" : line)
    }
    // What another process has handed over was asked for with --detach.
    let leavesRecord = device == nil && (each != nil || self.options.isDetached)
    return Served(session: session, namespace: namespace, device: device, leavesRecord: leavesRecord)
  }

  func begin(_ one: Served) throws {
    do {
      try enter(one.namespace)
      try one.session.start()
      try control.listen(at: one.session.directory.socketPath)
    } catch {
      one.session.stop()
      throw error
    }
    served.append(one)
  }

  /// Serves what is found and is not served yet. What is refused is tried again after pauses that grow.
  private func search() {
    guard let finder else { return }
    let now = Clock.monotonicNanoseconds
    let found: [FoundOverlay]
    do {
      try enter(home)
      found = try finder.look(now: now)
    } catch { return report("overlays cannot be looked for: \(Engine.oneLine(error))") }
    let present = Set(found.map(\.device))
    refused = refused.filter { present.contains($0.key) }
    dismissed.formIntersection(present)
    // A VXLAN device that has become a bridge's port, or the other way round, is another overlay.
    for one in served {
      guard let device = one.device, !present.contains(device) else { continue }
      report("\(one.session.name) is not an overlay of its own any more; the kernel forwards it")
      _ = remove(one)
    }
    let known = Set(served.compactMap(\.device)).union(dismissed)
    var made: [(FoundOverlay, Served)] = []
    for overlay in found where !known.contains(overlay.device) {
      if let earlier = refused[overlay.device], !earlier.backoff.isOver(now: now) { continue }
      do {
        let namespace = Box(try NetworkNamespace.open(overlay.reference ?? options.each.namespace))
        // Another one by that name is found the next time.
        guard namespace.value.identity == overlay.device.namespace else { continue }
        let reference = overlay.reference ?? options.each.namespace
        made.append((overlay, try make(overlay.name, in: namespace, reference, device: overlay.device)))
      } catch { refuse(overlay, Engine.oneLine(error), now) }
    }
    for (overlay, one) in made {
      do {
        try begin(one)
        refused[overlay.device] = nil
      } catch { refuse(overlay, Engine.oneLine(error), now) }
    }
  }

  private func refuse(_ overlay: FoundOverlay, _ reason: String, _ now: UInt64) {
    let earlier = refused[overlay.device]
    refused[overlay.device] = (overlay, Backoff(reason, now: now, after: earlier?.backoff))
    guard earlier?.backoff.reason != reason else { return }
    report("\(overlay.label): not served: \(reason)")
  }

  func remove(_ one: Served) -> [String] {
    served.removeAll { $0.session === one.session }
    try? enter(one.namespace)
    let restored = one.session.stop()
    control.close(one.session.directory.socketPath)
    return restored
  }

  /// One that fails goes alone, but for the last of those that were asked for.
  private func lose(_ one: Served, _ error: any Error) throws {
    let isLast = finder == nil && served.count == 1
    let record = one.leavesRecord ? EndRecord(of: one, because: error) : nil
    if !isLast { report("\(one.session.name): \(Engine.oneLine(error)); the kernel forwards it") }
    _ = remove(one)
    do { try record?.write() } catch { report("\(error)") }
    if isLast { throw error }
    // It may be there again under another number.
    finder?.note(now: Clock.monotonicNanoseconds)
  }

  /// Gives everything back. What is asked from here on finds nobody; what was asked is told so.
  func stop() {
    mailbox.close()
    control.stop()
    for one in served { _ = remove(one) }
  }

  private func enter(_ namespace: Box<NetworkNamespace>) throws {
    guard namespace.value.identity != current else { return }
    try namespace.value.enter()
    current = namespace.value.identity
  }

  // MARK: - The loop

  /// Until it is told to stop; `ready` is called before the first wait.
  func run(ready: () -> Void) throws {
    ready()
    while true {
      let readable = wait()
      for one in served {
        for descriptor in one.session.descriptors where readable.contains(descriptor) {
          guard try survive(one, { try $0.handle(readable: descriptor) }) else { break }
        }
      }
      if try serveMail() { return }
      let now = Clock.monotonicNanoseconds
      for one in served where one.session.deadline <= now { _ = try survive(one) { try $0.tick(now: now) } }
      if let finder {
        if readable.contains(finder.descriptor) { finder.note(now: now) }
        if min(finder.deadline, nextAttempt) <= now { search() }
      }
    }
  }

  /// True once it is to end.
  private func serveMail() throws -> Bool {
    for message in mailbox.take() {
      switch message {
      case .ask(let question): question(self)
      case .stop(let path, let tell):
        let isEnd = path == nil || path == record?.directory.socketPath
        let leaving = served.filter { isEnd || $0.session.directory.socketPath == path }
        dismissed.formUnion(leaving.compactMap(\.device))
        tell(leaving.flatMap(remove))
        if isEnd || (finder == nil && served.isEmpty) { return true }
      }
    }
    return false
  }

  private var nextAttempt: UInt64 { refused.values.map(\.backoff.until).min() ?? .max }

  /// What is readable before the next deadline.
  private func wait() -> Set<Int32> {
    var poller = Poller()
    poller.add(mailbox.descriptor)
    if let finder { poller.add(finder.descriptor) }
    for descriptor in Set(sessions.flatMap(\.descriptors)) { poller.add(descriptor) }
    let now = Clock.monotonicNanoseconds
    let deadlines = sessions.map(\.deadline) + (finder.map { [$0.deadline, nextAttempt] } ?? [])
    let deadline = deadlines.min() ?? .max
    let milliseconds = deadline <= now ? 0 : min(60_000, (deadline - now + 999_999) / 1_000_000)
    return Set(poller.wait(milliseconds: Int32(milliseconds)))
  }

  /// Devices and namespaces vanish while they are looked at: what fails once is read anew. What keeps failing ends the
  /// overlay's fast path: false then.
  private func survive(_ one: Served, _ work: (any OverlaySession) throws -> Void) throws -> Bool {
    // Lost earlier in the same round.
    guard served.contains(where: { $0.session === one.session }) else { return false }
    var failures = 0
    while true {
      do {
        try enter(one.namespace)
        if failures == 0 {
          try work(one.session)
        } else {
          try one.session.resynchronise(because: "a change could not be followed")
        }
        return true
      } catch let gone as OverlayGone {
        let advice = "\(gone.device) is gone" + (finder == nil ? "; run `culvert up` again when it is back." : "")
        try lose(one, Failure("serve", one.session.name, advice: advice))
        return false
      } catch {
        failures += 1
        report("\(error)")
        guard failures < 5 else {
          try lose(one, error)
          return false
        }
        usleep(useconds_t(10_000 << failures))
      }
    }
  }

  // MARK: - Control

  /// On the control server's thread: a session's own answers, by the path that was asked at.
  private static func serve(
    _ path: String, _ request: ControlRequest, _ mailbox: Mailbox,
    _ reply: @escaping @Sendable ([UInt8]) -> Void
  ) {
    let posted =
      switch request {
      case .status: mailbox.post(.ask { reply(answer($0, path, { try $0.status() }, { $0.status() })) })
      case .serve(let request): mailbox.post(.ask { reply(answer($0, to: request)) })
      case .stats: mailbox.post(.ask { reply(answer($0, path, { try $0.stats() }, { _ in nil })) })
      case .down:
        mailbox.post(
          .stop(path) { restored in
            let ending = ControlRefusal(.ending, "It is ending.")
            reply(
              ControlProtocol.line(
                ControlReply(restored.map { .success(DownReply(restored: $0)) } ?? .failure(ending))))
          })
      }
    if !posted { reply(answer(nil, path, { _ in "" }, { _ in nil })) }
  }

  private static func answer(_ agent: Agent?, to request: ServeRequest) -> [UInt8] {
    guard let agent else {
      return ControlProtocol.line(ControlReply<[Status]>(.failure(ControlRefusal(.ending, "It is ending."))))
    }
    do {
      return ControlProtocol.line(ControlReply(.success(try agent.serveToo(request))))
    } catch {
      return ControlProtocol.line(ControlReply<[Status]>(.failure(ControlRefusal(.failed, "\(error)"))))
    }
  }

  private static func answer<Body: Codable>(
    _ agent: Agent?, _ path: String, _ question: (any OverlaySession) throws -> Body,
    _ ownAnswer: (Agent) -> Body?
  ) -> [UInt8] {
    if let agent, path == agent.record?.directory.socketPath, let body = ownAnswer(agent) {
      return ControlProtocol.line(ControlReply(.success(body)))
    }
    guard let agent, let one = agent.served.first(where: { $0.session.directory.socketPath == path }) else {
      return ControlProtocol.line(ControlReply<Body>(.failure(ControlRefusal(.ending, "It is ending."))))
    }
    do {
      return ControlProtocol.line(ControlReply(.success(try agent.ask(one, question))))
    } catch {
      return ControlProtocol.line(ControlReply<Body>(.failure(ControlRefusal(.failed, "\(error)"))))
    }
  }

  /// Asks a session in its namespace.
  func ask<T>(_ one: Served, _ question: (any OverlaySession) throws -> T) throws -> T {
    try enter(one.namespace)
    return try question(one.session)
  }

  /// Of itself, while it looks for overlays.
  private func status() -> Status? {
    guard let record else { return nil }
    var status = Status.known(
      pid: record.owner.pid, state: "looking", overlay: record.owner.overlay, namespace: record.owner.namespace)
    status.found = Status.Found(
      allNamespaces: options.allNamespaces, served: served.count,
      refused: refusedOverlays)
    return status
  }

  var refusedOverlays: [Status.Refused] {
    let here = options.each.namespace ?? "\(home.value.identity)"
    return refused.values.map {
      Status.Refused(
        overlay: $0.overlay.name, namespace: $0.overlay.reference ?? here, reason: $0.backoff.reason)
    }.sorted { ($0.namespace, $0.overlay) < ($1.namespace, $1.overlay) }
  }
}

extension EndRecord {
  fileprivate init(of one: Agent.Served, because error: any Error) {
    let identity = one.namespace.value.identity
    self.init(
      of: one.session.name, named: one.session.directory.owner?.namespace ?? "\(identity)", in: identity, because: error)
  }
}
