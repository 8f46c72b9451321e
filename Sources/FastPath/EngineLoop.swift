// SPDX-License-Identifier: Apache-2.0
import Foundation
import LinuxSystem
import Netlink

/// Waits for the kernel's announcements, control clients and posted work.
struct EngineLoop: ~Copyable {
  /// Milliseconds between two looks at what ports pass: so long a port is in the way of what it does not carry.
  private static let trafficInterval: Int32 = 100

  private let engine: Engine
  private let mailbox: Mailbox
  private var poller: Poller
  private let control: ControlServer

  init(_ engine: Engine, _ mailbox: Mailbox) throws {
    var poller = Poller()
    let control = try ControlServer(path: engine.directory.socketPath) { request, reply in
      Self.serve(request, mailbox, reply)
    }
    poller.add(mailbox.descriptor)
    poller.add(engine.place.overlayMonitor.value.descriptor)
    if engine.place.isSplit { poller.add(engine.place.underlayMonitor.value.descriptor) }
    poller.add(engine.place.errors.value.descriptor)
    if let encryption = engine.place.encryption { poller.add(encryption.value.descriptor) }
    self.engine = engine
    self.mailbox = mailbox
    self.poller = poller
    self.control = control
  }

  /// Until it is told to stop; `ready` is called before the first wait.
  mutating func run(ready: () -> Void) throws {
    // What is asked from here on finds nobody; what was asked is told so.
    defer {
      mailbox.close()
      control.stop()
    }
    ready()
    var nextCheck = Clock.monotonicNanoseconds + 1_000_000_000
    while true {
      let descriptors = poller.wait(
        milliseconds: engine.milliseconds(atMost: engine.watchesTraffic ? Self.trafficInterval : 1000))
      for descriptor in descriptors {
        if descriptor == engine.place.overlayMonitor.value.descriptor {
          try follow(engine.place.overlayMonitor, fromUnderlay: false)
        } else if engine.place.isSplit, descriptor == engine.place.underlayMonitor.value.descriptor {
          try follow(engine.place.underlayMonitor, fromUnderlay: true)
        } else if descriptor == engine.place.errors.value.descriptor {
          try survive { try $0.noteErrors() }
        } else if let encryption = engine.place.encryption, descriptor == encryption.value.descriptor {
          // Not a second in the clear.
          encryption.value.drain()
          try survive { try $0.checkPolicy() }
        }
      }
      try survive { try $0.askChangedRoutes() }
      for message in mailbox.take() {
        switch message {
        case .ask(let question): question(engine)
        case .stop(let tell):
          tell(engine.stop())
          return
        }
      }
      if engine.watchesTraffic { try survive { try $0.watchTraffic() } }
      if Clock.monotonicNanoseconds >= nextCheck {
        nextCheck = Clock.monotonicNanoseconds + 1_000_000_000
        try survive { engine in
          try engine.checkNamespaces()
          try engine.checkEnds()
          try engine.checkPolicy()
          try engine.confirmNextHops()
          try engine.checkSysctls()
          try engine.checkRoutes()
        }
      }
    }
  }

  private func follow(_ monitor: Box<RouteMonitor>, fromUnderlay: Bool) throws {
    try survive { engine in
      var events: [NetlinkEvent] = []
      // A storm is taken in portions: the descriptor stays readable for the rest.
      if case .overrun = try monitor.value.receive(into: &events) {
        return try engine.resynchronise(because: "announcements were lost")
      }
      try engine.apply(events, fromUnderlay: fromUnderlay)
    }
  }

  /// Devices and namespaces vanish while they are looked at: what fails once is read
  /// anew. What keeps failing ends the fast path.
  private func survive(_ work: (Engine) throws -> Void) throws {
    var failures = 0
    while true {
      do {
        if failures == 0 {
          try work(engine)
        } else {
          try engine.resynchronise(because: "a change could not be followed")
        }
        return try engine.tier.commit()
      } catch let gone as Engine.Gone {
        throw Failure(
          "carry", place, advice: "\(gone.device) is gone; run `culvert up` again when it is back.")
      } catch {
        failures += 1
        engine.report("\(error)")
        guard failures < 5 else { throw error }
        usleep(useconds_t(10_000 << failures))
      }
    }
  }

  private var place: String { engine.place.bridge.name }

  /// On the control server's thread: the engine's own answers.
  private static func serve(
    _ request: ControlRequest, _ mailbox: Mailbox, _ reply: @escaping @Sendable ([UInt8]) -> Void
  ) {
    let posted =
      switch request {
      case .status: mailbox.post(.ask { reply(answer($0) { $0.status() }) })
      case .stats: mailbox.post(.ask { reply(answer($0) { try $0.stats() }) })
      case .down:
        mailbox.post(
          .stop { restored in
            let ending = ControlRefusal(.ending, "It is ending.")
            reply(
              ControlProtocol.line(
                ControlReply(restored.map { .success(DownReply(restored: $0)) } ?? .failure(ending))))
          })
      }
    if !posted { reply(answer(nil) { _ in "" }) }
  }

  private static func answer<Body: Codable>(_ engine: Engine?, _ question: (Engine) throws -> Body) -> [UInt8]
  {
    guard let engine else {
      return ControlProtocol.line(ControlReply<Body>(.failure(ControlRefusal(.ending, "It is ending."))))
    }
    do {
      return ControlProtocol.line(ControlReply(.success(try question(engine))))
    } catch {
      return ControlProtocol.line(ControlReply<Body>(.failure(ControlRefusal(.failed, "\(error)"))))
    }
  }
}
