// SPDX-License-Identifier: Apache-2.0
import Glibc
import LinuxSystem
import Synchronization
import TestSupport
import Testing

@testable import FastPath

/// One process, several overlays: named, found, gone and back.
@Suite(.serialized, .enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
struct AgentTests {
  /// Two overlays over one wire: a1 and b1 on br0, a2 and b2 on br1.
  private static func two(layout: TestOverlay.Layout = .together) throws -> TestOverlay {
    let overlay = try TestOverlay(ipv6: false, layout: layout)
    try overlay.addDomain(.init(bridge: "br1", device: "vx1", vni: 43))
    for name in ["a2", "b2"] { _ = try overlay.addContainer(name, bridge: "br1") }
    try overlay.ping("a2", "b2")
    return overlay
  }

  private func options(
    _ overlay: TestOverlay, _ names: [String]? = nil, _ tier: Tier = .tc, allNamespaces: Bool = false
  ) -> AgentOptions {
    AgentOptions(
      overlays: names, allNamespaces: allNamespaces, each: overlay.options("a") { $0.tier = tier })
  }

  private func carried(_ service: FastPathService) throws -> [String] {
    try service.statuses().filter { Readiness($0).carried > 0 }.map(\.bridge).sorted()
  }

  @Test(arguments: Tier.allCases) func everyOverlayThatIsFoundIsServed(tier: Tier) throws {
    let overlay = try Self.two()
    let service = try FastPathService.start(options(overlay, nil, tier))
    #expect(try carried(service) == ["br0", "br1"])
    #expect(try overlay.answers("a1", "b1") == 5)
    #expect(try overlay.answers("a2", "b2") == 5)
    for status in try service.statuses() {
      let path = overlay.hosts["a"]!.path
      let directory = try #require(
        try Overlays.directories(namespace: path, all: false, named: [status.bridge]).first)
      let stats = try #require(try Overlays.stats(directory))
      let port = try #require(stats.ports.first { $0.name != "eth0" })
      #expect(port.forwarded["encapsulated"]?.packets ?? 0 >= 4, "\(status.bridge) by \(tier)")
    }
    try service.stop()
  }

  @Test func namedOnesAreServedTogetherOrNotAtAll() throws {
    let overlay = try Self.two()
    #expect(throws: Failure.self) { try FastPathService.start(options(overlay, ["br0", "br7"])) }
    #expect(try Overlays.directories(namespace: overlay.hosts["a"]!.path, all: false).isEmpty)
    #expect(throws: Failure.self) { try FastPathService.start(options(overlay, ["br0", "br0"])) }
    let service = try FastPathService.start(options(overlay, ["br0", "vx1"]))
    #expect(try carried(service) == ["br0", "br1"])
    // One that goes leaves the other.
    try overlay.hosts["a"]!.shell("ip link del vx1")
    #expect(try eventually { try service.statuses().map(\.bridge) == ["br0"] })
    #expect(try overlay.answers("a1", "b1") == 5)
    // The last ends the process.
    try overlay.hosts["a"]!.shell("ip link del vx0")
    #expect(throws: Failure.self) { try service.waitUntilEnded() }
  }

  /// Each of its own, and whoever is left goes on; nobody reads what is reported.
  @Test func whatEndsByItselfLeavesARecord() throws {
    let overlay = try Self.two()
    let host = overlay.hosts["a"]!
    var named = options(overlay, ["br0", "br1"])
    named.isDetached = true
    let service = try FastPathService.start(named)
    func ended() throws -> [EndRecord] {
      try Overlays.ended(namespace: host.path, all: false).sorted { $0.overlay < $1.overlay }
    }
    let isNamed = try service.statuses()[1].namespace
    try host.shell("ip link del vx1")
    #expect(try eventually { try ended().map(\.overlay) == ["br1"] })
    let record = try #require(try ended().first)
    #expect(record.reason.contains("vx1 is gone") && record.namespace == isNamed && record.pid == getpid())
    #expect(try carried(service) == ["br0"])
    try host.shell("ip link del vx0")
    #expect(throws: Failure.self) { try service.waitUntilEnded() }
    #expect(try ended().map(\.overlay) == ["br0", "br1"])
    // One that is served again has no end.
    try host.shell("ip link add vx0 type vxlan id 42 local 198.18.0.1 remote 198.18.0.2 dev eth0 dstport 4789")
    try host.shell("ip link set vx0 master br0 up")
    let again = try FastPathService.start(options(overlay, ["br0"]))
    #expect(try ended().map(\.overlay) == ["br1"])
    try again.stop()
    EndRecord.clear { $0.namespaceInode == record.namespaceInode }
  }

  /// With --detach, so that nobody reads the reports of the process that has it: also where that is in the foreground,
  /// and in another namespace than its own.
  @Test func whatWasHandedOverLeavesARecordToo() throws {
    let overlay = try TestOverlay(ipv6: false)
    let (host, elsewhere) = (overlay.hosts["a"]!, try TestNode())
    try host.ip(
      "link add vx1 type vxlan id 43 local 198.18.0.1 remote 198.18.0.2 dev eth0 dstport 4789 noudpcsum",
      "link set vx1 netns \(elsewhere.path)")
    try elsewhere.ip("link add br1 type bridge", "link set vx1 master br1 up", "link set br1 up")
    let service = try FastPathService.start(options(overlay, ["br0"]))
    let directory = try #require(try Overlays.directories(namespace: host.path, all: false).first)
    var each = overlay.options("a") { $0.tier = .tc }
    each.namespace = elsewhere.path
    let request = ServeRequest(overlays: ["br1"], path: elsewhere.path, namespace: elsewhere.path, options: each)
    guard case .answered(let statuses) = try ask(directory, .serve(request), as: [Status].self, milliseconds: 30_000)
    else {
      Issue.record("it was not taken")
      return
    }
    #expect(statuses.map(\.bridge) == ["br1"])
    func ended(_ node: TestNode) throws -> [String] {
      try Overlays.ended(namespace: node.path, all: false).map(\.overlay)
    }
    try elsewhere.shell("ip link del vx1")
    #expect(try eventually { try ended(elsewhere) == ["br1"] })
    #expect(try carried(service) == ["br0"])
    try host.shell("ip link del vx0")
    #expect(throws: Failure.self) { try service.waitUntilEnded() }
    #expect(try ended(host).isEmpty, "whoever started it has read why")
    let inode = try NetworkNamespace.open(elsewhere.path).identity.inode
    EndRecord.clear { $0.namespaceInode == inode }
  }

  @Test func overlaysComeAndGo() throws {
    let overlay = try Self.two()
    let host = overlay.hosts["a"]!
    let lines = Mutex<[String]>([])
    let service = try FastPathService.start(options(overlay)) { line in lines.withLock { $0.append(line) } }
    #expect(try carried(service) == ["br0", "br1"])
    try host.shell("ip link del vx1")
    #expect(try eventually { try carried(service) == ["br0"] })
    #expect(try overlay.answers("a1", "b1") == 5)
    try host.shell("ip link add vx1 type vxlan id 43 dstport 4789 local 198.18.0.1 remote 198.18.0.2 dev eth0")
    // Not the bridge's yet: routed, for what that is worth.
    #expect(try eventually { try service.statuses().map(\.overlay).sorted() == ["br0", "vx1"] })
    try host.shell("ip link set vx1 master br1 up")
    #expect(try eventually { try service.statuses().map(\.bridge).sorted() == ["br0", "br1"] })
    #expect(
      try eventually {
        _ = try? overlay.ping("a2", "b2")
        return try carried(service) == ["br0", "br1"] && service.refused().isEmpty
      })
    #expect(lines.withLock { $0.contains { $0.hasPrefix("br1") && $0.contains("is gone") } })
    try service.stop()
  }

  @Test func oneThatCannotBeServedIsNamedAndHoldsUpNobody() throws {
    let overlay = try Self.two()
    try overlay.hosts["a"]!.shell("ip link add vxe type vxlan external dstport 4790")
    let service = try FastPathService.start(options(overlay))
    #expect(try carried(service) == ["br0", "br1"])
    let refused = try service.refused()
    #expect(refused.map(\.overlay) == ["vxe"] && refused.allSatisfy { !$0.reason.isEmpty })
    try overlay.hosts["a"]!.shell("ip link del vxe")
    #expect(try eventually { try service.refused().isEmpty })
    try service.stop()
  }

  /// The one that is told to go is left alone while it is the same.
  @Test func oneIsEndedAndTheOthersStay() throws {
    let overlay = try Self.two()
    let host = overlay.hosts["a"]!
    let service = try FastPathService.start(options(overlay))
    let named = try Overlays.directories(namespace: host.path, all: false, named: ["vx1"])
    try #require(named.count == 1)
    let result = try #require(try Overlays.down(named[0]))
    #expect(result.overlay == "br1" && result.state == "ended")
    try host.shell("ip link add x0 type veth peer name x1")
    #expect(try !eventually(1) { try service.statuses().count != 1 })
    #expect(try overlay.answers("a2", "b2") == 5)
    #expect(try carried(service) == ["br0"])
    // What is left in this namespace is the other and the one that looks for them, which ends last.
    let all = try Overlays.directories(namespace: host.path, all: false)
    #expect(all.map(\.isAgents) == [false, true])
    let looking = try #require(try Overlays.status(all[1]))
    #expect(looking.state == "looking" && looking.found?.served == 1)
    // Nobody else may look here meanwhile.
    #expect(throws: Failure.self) { try FastPathService.start(options(overlay)) }
    for directory in all { _ = try Overlays.down(directory) }
    try service.waitUntilEnded()
    #expect(try Overlays.directories(namespace: host.path, all: false).isEmpty)
  }

  @Test func otherNamespacesAreLookedInto() throws {
    let overlay = try Self.two(layout: .split)
    let home = try TestNamespace()
    let paths = [home.path, overlay.hosts["a"]!.path]
    var options = options(overlay, allNamespaces: true)
    options.each.namespace = home.path
    let service = try FastPathService.start(options, candidates: { paths })
    #expect(try carried(service) == ["br0", "br1"])
    #expect(try overlay.answers("a1", "b1") == 5)
    #expect(try overlay.answers("a2", "b2") == 5)
    // As a container engine does with the last container's.
    overlay.hosts["a"]!.namespace.remove()
    #expect(try eventually(20) { try service.statuses().isEmpty })
    try service.stop()
  }
}
