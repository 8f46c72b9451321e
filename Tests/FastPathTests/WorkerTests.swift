// SPDX-License-Identifier: Apache-2.0
import DataPlane
import FastPath
import LinuxSystem
import TestSupport
import Testing

/// Tier `afxdp`: sockets and workers.
@Suite(.serialized, .enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
struct WorkerTests {
  @Test(arguments: [1, 2]) func severalQueuesAreServedByOneWorkerOrByOneEach(workers: Int) throws {
    let overlay = try TestOverlay(queues: 2)
    try overlay.ping("a1", "b1")
    let services = try ["a", "b"].map { host in
      try overlay.start(host) {
        $0.tier = .afxdp
        $0.workers = workers
      }
    }
    let (a1, b1) = (overlay.containers["a1"]!, overlay.containers["b1"]!)
    for _ in 0..<4 { #expect(try Transfer(from: a1, to: b1, bytes: 4 << 20).finish() == .intact) }
    #expect(try Transfer(from: b1, to: a1, bytes: 4 << 20).finish() == .intact)
    for service in services {
      let port = try #require(try service.stats().ports.last)
      #expect(port.passed["unknown-port"] == nil, "every queue has its socket")
      #expect(port.notSent == 0 && port.notRedirected == 0)
      try service.stop()
    }
  }

  /// A port with fewer queues than workers could be reached by some of them only.
  @Test func aPortWithFewerQueuesThanWorkersStaysWithTheKernel() throws {
    let overlay = try TestOverlay()
    let refusal = #expect(throws: Failure.self) {
      try overlay.start("a") {
        $0.tier = .afxdp
        $0.workers = 2
      }
    }
    #expect(refusal?.advice?.contains("each of the 2 workers needs one") == true)
  }

  @Test(arguments: WaitMode.allCases) func everyWayToWaitCarriesTraffic(wait: WaitMode) throws {
    let overlay = try TestOverlay()
    try overlay.ping("a1", "b1")
    let services = try ["a", "b"].map { host in
      try overlay.start(host) {
        $0.tier = .afxdp
        $0.wait = wait
        $0.cpus = [0]
      }
    }
    try overlay.ping("a1", "b1", count: 5)
    #expect(services[0].obtained == "afxdp copy, bursts redirected, \(wait.rawValue) on CPU 0")
    let transfer = try Transfer(
      from: overlay.containers["a1"]!, to: overlay.containers["b1"]!, bytes: 4 << 20)
    #expect(transfer.finish() == .intact)
    for service in services { try service.stop() }
  }

  /// Where frames could be longer than a live frame's copy, all of them leave by the sockets, in their order.
  @Test func longFramesLeaveByTheSockets() throws {
    let overlay = try TestOverlay()
    for host in overlay.hosts.values { try host.shell("ip link set eth0 mtu 2000") }
    let service = try overlay.start("a") { $0.tier = .afxdp }
    #expect(service.obtained == "afxdp copy, adaptive")
    try overlay.ping("a1", "b1", count: 3)
    try service.stop()
  }

  /// A socket that has just closed leaves its queue busy for a moment.
  @Test func startingAgainAtOnceWorks() throws {
    let overlay = try TestOverlay()
    for _ in 0..<5 {
      let service = try overlay.start("a") { $0.tier = .afxdp }
      try overlay.ping("a1", "b1", count: 2)
      try service.stop()
    }
  }

  @Test func sixtyFourContainersAreServed() throws {
    let names = (1...64).map { "a\($0)" }
    let overlay = try TestOverlay(containers: names + ["b1"], ipv6: false)
    let service = try overlay.start("a") {
      $0.tier = .afxdp
      $0.portCapacity = 128
    }
    let status = try service.status()
    #expect(status.ports.count { $0.tier == "afxdp" } == 65)
    for name in names { try overlay.ping(name, "b1", count: 4, options: "-i 0.02") }
    try overlay.ping("a64", "a1", count: 3)
    func isCarried(_ name: String) throws -> Bool {
      try service.stats().ports.first { $0.name == "v\(name)" }?.forwarded["encapsulated"] != nil
    }
    // On a slow machine the first packets are over before their source is known.
    for name in names where try !isCarried(name) { try overlay.ping(name, "b1", count: 2) }
    let stats = try service.stats()
    for name in names {
      let port = try #require(stats.ports.first { $0.name == "v\(name)" })
      #expect(port.forwarded["encapsulated"] != nil, "\(name): \(port.passed)")
      #expect(port.notSent == 0 && port.notRedirected == 0, "\(name)")
    }
    try service.stop()
  }
}
