// SPDX-License-Identifier: Apache-2.0
import Foundation
import LinuxSystem
import Netlink

/// Serves overlays from one thread: waits for what the kernel announces to any of them, for control clients and for
/// posted work.
final class Agent {
  private(set) var sessions: [any OverlaySession] = []
  private let mailbox: Mailbox
  private let control: ControlServer
  private let report: (String) -> Void

  init(_ mailbox: Mailbox, report: @escaping (String) -> Void) throws {
    self.mailbox = mailbox
    self.report = report
    control = try ControlServer { [mailbox] path, request, reply in
      Self.serve(path, request, mailbox, reply)
    }
  }

  /// Takes over a session that has started.
  func add(_ session: any OverlaySession) throws {
    try control.listen(at: session.directory.socketPath)
    sessions.append(session)
  }

  /// Until it is told to stop; `ready` is called before the first wait.
  func run(ready: () -> Void) throws {
    // What is asked from here on finds nobody; what was asked is told so.
    defer {
      mailbox.close()
      control.stop()
    }
    ready()
    while true {
      let readable = wait()
      for session in sessions {
        for descriptor in session.descriptors where readable.contains(descriptor) {
          try survive(session) { try $0.handle(readable: descriptor) }
        }
      }
      for message in mailbox.take() {
        switch message {
        case .ask(let question): question(self)
        case .stop(let path, let tell):
          let leaving = sessions.filter { path == nil || $0.directory.socketPath == path }
          sessions.removeAll { session in leaving.contains { $0 === session } }
          tell(leaving.flatMap { $0.stop() })
          for session in leaving { control.close(session.directory.socketPath) }
          if sessions.isEmpty { return }
        }
      }
      let now = Clock.monotonicNanoseconds
      for session in sessions where session.deadline <= now { try survive(session) { try $0.tick(now: now) } }
    }
  }

  /// What is readable before the next deadline.
  private func wait() -> Set<Int32> {
    var poller = Poller()
    poller.add(mailbox.descriptor)
    for descriptor in Set(sessions.flatMap(\.descriptors)) { poller.add(descriptor) }
    let now = Clock.monotonicNanoseconds
    let deadline = sessions.map(\.deadline).min() ?? .max
    let milliseconds = deadline <= now ? 0 : min(60_000, (deadline - now + 999_999) / 1_000_000)
    return Set(poller.wait(milliseconds: Int32(milliseconds)))
  }

  /// Devices and namespaces vanish while they are looked at: what fails once is read
  /// anew. What keeps failing ends the fast path.
  private func survive(_ session: any OverlaySession, _ work: (any OverlaySession) throws -> Void) throws {
    var failures = 0
    while true {
      do {
        if failures == 0 {
          return try work(session)
        } else {
          return try session.resynchronise(because: "a change could not be followed")
        }
      } catch let gone as OverlayGone {
        throw Failure(
          "carry", session.name, advice: "\(gone.device) is gone; run `culvert up` again when it is back.")
      } catch {
        failures += 1
        report("\(error)")
        guard failures < 5 else { throw error }
        usleep(useconds_t(10_000 << failures))
      }
    }
  }

  /// On the control server's thread: a session's own answers, by the path that was asked at.
  private static func serve(
    _ path: String, _ request: ControlRequest, _ mailbox: Mailbox,
    _ reply: @escaping @Sendable ([UInt8]) -> Void
  ) {
    let posted =
      switch request {
      case .status: mailbox.post(.ask { reply(answer($0, path) { try $0.status() }) })
      case .stats: mailbox.post(.ask { reply(answer($0, path) { try $0.stats() }) })
      case .down:
        mailbox.post(
          .stop(path) { restored in
            let ending = ControlRefusal(.ending, "It is ending.")
            reply(
              ControlProtocol.line(
                ControlReply(restored.map { .success(DownReply(restored: $0)) } ?? .failure(ending))))
          })
      }
    if !posted { reply(answer(nil, path) { _ in "" }) }
  }

  private static func answer<Body: Codable>(
    _ agent: Agent?, _ path: String, _ question: (any OverlaySession) throws -> Body
  ) -> [UInt8] {
    guard let session = agent?.sessions.first(where: { $0.directory.socketPath == path }) else {
      return ControlProtocol.line(ControlReply<Body>(.failure(ControlRefusal(.ending, "It is ending."))))
    }
    do {
      return ControlProtocol.line(ControlReply(.success(try question(session))))
    } catch {
      return ControlProtocol.line(ControlReply<Body>(.failure(ControlRefusal(.failed, "\(error)"))))
    }
  }
}
