// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import Netlink
import PacketHeaders
import TestSupport
import Testing

@testable import FastPath

/// A host with many VTEPs whose routes change all the time: look-ups are counted, not timed.
@Suite(.serialized, .enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
struct RouteStormTests {
  static let vteps = 200
  static let nearby = "198.18.77"

  /// What `ip -batch` is to do.
  private static func changes(_ prefix: (Int) -> String, count: Int) -> String {
    (0..<count).map { "route add \(prefix($0)) dev eth0\nroute del \(prefix($0)) dev eth0" }.joined(separator: "\n")
  }

  private static func entries(_ device: String, isBridged: Bool) -> String {
    (1...vteps).map { number in
      let mac = "02:77:00:00:00:" + (number < 16 ? "0" : "") + String(number, radix: 16)
      let own = "fdb add \(mac) dev \(device) dst \(nearby).\(number) self permanent"
      return isBridged ? own + "\nfdb add \(mac) dev \(device) master static" : own
    }.joined(separator: "\n")
  }

  private static func batch(_ tool: String, _ lines: String) throws {
    try shell([tool, "-batch", "-"], input: lines)
  }

  @Test func aBridgedOverlayAsksOnlyForWhatAChangeConcerns() throws {
    let overlay = try TestOverlay(ipv6: false)
    try overlay.ping("a1", "b1")
    try overlay.hosts["a"]!.run {
      try shell("ip", "route", "add", "\(Self.nearby).0/24", "dev", "eth0")
      try Self.batch("bridge", Self.entries("vx0", isBridged: true))
      let engine = try Engine(overlay.options("a") { $0.tier = .tc }, Underlays(), report: { _ in })
      defer { engine.stop() }
      try engine.start()
      let monitor = engine.place.overlayMonitor.value.descriptor
      func follow() throws {
        try engine.handle(readable: monitor)
        while engine.following.due != nil { try engine.askChangedRoutes() }
      }
      try follow()
      #expect(engine.underlay.routes.count > Self.vteps)
      let key = try #require(engine.underlay.routes.keys.first { "\($0.remote)" == Self.nearby + ".9" })
      let before = engine.underlay.routes[key]
      var asked = engine.routesAsked

      try Self.batch("ip", Self.changes({ "198.18.99.\($0 % 200)/32" }, count: 1000))
      try follow()
      #expect(engine.routesAsked == asked, "no VTEP is there")
      #expect(engine.isReadingPaused && !engine.descriptors.contains(monitor), "changes gather")
      try engine.tick(now: engine.reading.notBefore)
      #expect(engine.descriptors.contains(monitor))

      asked = engine.routesAsked
      try Self.batch("ip", Self.changes({ _ in Self.nearby + ".9/32" }, count: 1000))
      try Self.batch("ip", "route add blackhole \(Self.nearby).9/32")
      try follow()
      // By rounds, of which one may have begun before the last change was announced.
      #expect((1...2).contains(engine.routesAsked - asked))
      #expect(engine.underlay.routes[key] != before, "and what it came to in the end is known")

      // A container's entry does not wait.
      try engine.tick(now: engine.reading.notBefore)
      try Self.batch("bridge", "fdb add 02:77:00:00:01:01 dev vx0 dst 198.18.77.9 self permanent")
      try engine.handle(readable: monitor)
      #expect(!engine.isReadingPaused)
    }
  }

  @Test func aRoutedOverlayAsksOnlyForWhatAChangeConcerns() throws {
    let lab = try RoutedLab(.flannel)
    let device = lab.network.overlay!.device
    try lab.host(.a).run {
      let uplink = try #require(RouteConnection().route(to: IPAddress("198.18.0.2")!).outInterface)
      let name = try RouteConnection().link(index: uplink).name
      try shell("ip", "route", "add", "\(Self.nearby).0/24", "dev", name)
      try Self.batch("bridge", Self.entries(device, isBridged: false))
      var options = FastPathOptions(overlay: device, namespace: lab.host(.a).reference, tier: .tc)
      (options.entryCapacity, options.portCapacity) = (4096, 32)
      let session = try RoutedSession(options, Underlays(), report: { _ in })
      defer { session.stop() }
      try session.start()
      #expect(session.reasons.isEmpty)
      #expect(session.routesAsked > Self.vteps)
      session.sampledAt = .max / 2
      let monitor = session.monitor.value.descriptor
      func follow() throws {
        try session.handle(readable: monitor)
        #expect(!session.descriptors.contains(monitor), "changes gather")
        try session.tick(now: session.deadline)
        #expect(session.descriptors.contains(monitor))
      }
      let key = try #require(session.underlay.routes.keys.first { "\($0.remote)" == Self.nearby + ".9" })
      let before = session.underlay.routes[key]

      var asked = session.routesAsked
      try Self.batch("ip", Self.changes({ "198.18.99.\($0 % 200)/32" }, count: 1000))
      try follow()
      #expect(session.routesAsked == asked, "no VTEP is there")

      asked = session.routesAsked
      try Self.batch("ip", Self.changes({ _ in Self.nearby + ".9/32" }, count: 1000))
      try Self.batch("ip", "route add blackhole \(Self.nearby).9/32")
      try follow()
      #expect(session.routesAsked == asked + 1)
      #expect(session.underlay.routes[key] != before, "and what it came to in the end is known")
    }
  }
}
