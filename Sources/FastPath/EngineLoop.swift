// SPDX-License-Identifier: Apache-2.0
import Foundation
import LinuxSystem
import Netlink

/// Waits for the kernel's announcements, control clients and posted work.
struct EngineLoop: ~Copyable {
  private let engine: Engine
  private let mailbox: Mailbox
  private var poller: Poller
  private let control: ControlListener

  init(_ engine: Engine, _ mailbox: Mailbox) throws {
    var poller = try Poller()
    let control = try ControlListener(path: engine.directory.socketPath)
    poller.add(control.descriptor.raw)
    poller.add(engine.place.overlayMonitor.value.descriptor)
    if engine.place.isSplit { poller.add(engine.place.underlayMonitor.value.descriptor) }
    poller.add(engine.place.errors.value.descriptor)
    mailbox.open(bell: poller.bell.raw)
    self.engine = engine
    self.mailbox = mailbox
    self.poller = poller
    self.control = control
  }

  /// Until it is told to stop; `ready` is called before the first wait.
  mutating func run(ready: () -> Void) throws {
    ready()
    var nextCheck = Clock.monotonicNanoseconds + 1_000_000_000
    while true {
      let descriptors = poller.wait(milliseconds: engine.milliseconds(atMost: 1000))
      for descriptor in descriptors {
        if descriptor == control.descriptor.raw {
          if serveClients() { return }
        } else if descriptor == engine.place.overlayMonitor.value.descriptor {
          try follow(engine.place.overlayMonitor, fromUnderlay: false)
        } else if engine.place.isSplit, descriptor == engine.place.underlayMonitor.value.descriptor {
          try follow(engine.place.underlayMonitor, fromUnderlay: true)
        } else if descriptor == engine.place.errors.value.descriptor {
          try survive { try $0.noteErrors() }
        }
      }
      try survive { try $0.askChangedRoutes() }
      for message in mailbox.take() {
        switch message {
        case .ask(let question): question(engine)
        case .stop:
          engine.stop()
          return
        }
      }
      if Clock.monotonicNanoseconds >= nextCheck {
        nextCheck = Clock.monotonicNanoseconds + 1_000_000_000
        try survive { engine in
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

  /// True when one of them asked to end.
  private func serveClients() -> Bool {
    while let client = control.accept() {
      switch ControlRequest(rawValue: client.readLine()) {
      case .status: client.write(line: encode(engine.status()))
      case .stats:
        do { client.write(line: encode(try engine.stats())) } catch {
          client.write(line: encode(["error": "\(error)"]))
        }
      case .down:
        engine.stop()
        client.write(line: encode(["state": "down"]))
        return true
      case nil: client.write(line: encode(["error": "unknown request"]))
      }
    }
    return false
  }

  private func encode(_ value: some Encodable) -> Data {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return (try? encoder.encode(value)) ?? Data("{}".utf8)
  }
}
