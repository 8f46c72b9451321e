// SPDX-License-Identifier: Apache-2.0
import DataPlane
import FastPath
import Glibc
import LinuxSystem
import PacketHeaders
import TestSupport
import Testing
import Traffic

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
      for port in try service.stats().ports {
        #expect(port.passed["unknown-port"] == nil, "every queue has its socket")
        #expect(port.notSent == 0 && port.notRedirected == 0, "\(port.name)")
      }
      // A flow whose frames leave now by a socket's queue, now by that of the CPU, could overtake itself.
      #expect(try service.status().ports.allSatisfy { $0.mode == "copy" })
      try service.stop()
    }
  }

  /// A port with fewer queues than workers could be reached by some of them only.
  @Test func aPortWithFewerQueuesThanWorkersStaysWithTheKernel() throws {
    let overlay = try TestOverlay()
    let service = try overlay.start("a") {
      $0.tier = .afxdp
      $0.workers = 2
    }
    defer { try? service.stop() }
    let port = try service.status().ports.first { $0.name == "va1" }
    #expect(port?.tier == nil)
    #expect(port?.reason?.contains("each of the 2 workers needs one") == true)
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

  /// A flow's frames arrive in their order, whether the program forwards them by itself, or they leave one by one by the
  /// sockets or as bursts by redirection.
  @Test(arguments: [1, 2], [WaitMode.adaptive, .yield])
  func framesStayInOrder(queues: Int, wait: WaitMode) throws {
    let overlay = try TestOverlay(queues: queues, ipv6: false)
    // Generated frames reach an end without an XDP program only where it runs NAPI.
    try overlay.hosts["a"]!.shell("ethtool -K va1 gro on")
    try overlay.ping("a1", "b1")
    let services = try ["a", "b"].map { host in
      try overlay.start(host) {
        $0.tier = .afxdp
        $0.wait = wait
        $0.cpus = [CPU.count - 1]
        // So that the worker is given some of each rate.
        $0.fewPerMillisecond = 64
      }
    }
    try overlay.ping("a1", "b1", count: 2)
    let (a1, b1) = (overlay.containers["a1"]!, overlay.containers["b1"]!)
    let generator = try FrameGenerator(
      .udp(
        from: FlowEnd(mac: MACAddress(a1.mac)!, ipv4: IPv4Address("198.19.0.1")!, port: 1234),
        to: FlowEnd(mac: MACAddress(b1.mac)!, ipv4: IPv4Address("198.19.0.101")!, port: 9), size: 64))
    let arrivals = try b1.node.open { try PacketSocket(interface: "eth0") }
    // The stamp, by which frames are told apart, grows.
    let at = FrameTemplate.headerBytes
    var arrived = 0
    for rate: UInt64 in [20_000, 200_000, 300_000, 600_000, 2_000_000, 20_000, 300_000] {
      // On one CPU: of a veth's queues, that of the sender's is taken.
      try DedicatedThread.run {
        try CPU.pin(to: 0)
        try a1.node.run {
          try generator.run(
            ingress: if_nametoindex("eth0"), rate: rate, until: Clock.monotonicNanoseconds + 60_000_000,
            stampOffset: at)
        }
      }
      var last: UInt64 = 0
      while let frame = arrivals.receive(milliseconds: 50, where: { $0.count == 64 }) {
        let stamp = frame[at..<at + 8].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        #expect(stamp > last, "at \(rate) frames/s")
        last = stamp
        arrived += 1
      }
    }
    #expect(arrived > 1000)
    let work = try #require(try services[0].stats().workers?.first)
    if wait == .yield { #expect(work.redirected < work.packets) }
    #expect((work.redirected > 0) == (queues == 1))
    #expect((work.direct ?? 0 > 0) == (queues == 1 && wait == .adaptive))
    for service in services { try service.stop() }
  }

  /// Each worker hashes what its own queue brings: a flow that comes by several is still one to whoever spreads flows.
  @Test(.enabled(if: CPU.count > 1)) func aFlowHasOneSourcePortWhicheverWorkerSendsIt() throws {
    let overlay = try TestOverlay(queues: 2, ipv6: false)
    try overlay.hosts["a"]!.shell("ethtool -K va1 gro on")
    try overlay.ping("a1", "b1")
    let service = try overlay.start("a") {
      $0.tier = .afxdp
      $0.workers = 2
    }
    try overlay.ping("a1", "b1", count: 2)
    func sent() throws -> [UInt64] { try #require(try service.stats().workers).map(\.packets) }
    let before = try sent()
    let (a1, b1) = (overlay.containers["a1"]!, overlay.containers["b1"]!)
    let wire = Box(try overlay.hosts["b"]!.open { try PacketSocket(interface: "eth0") })
    var outer: [UInt16: Set<UInt16>] = [:]
    for port in 2000..<2008 as Range<UInt16> {
      let generator = try FrameGenerator(
        .udp(
          from: FlowEnd(mac: MACAddress(a1.mac)!, ipv4: IPv4Address(a1.ipv4)!, port: port),
          to: FlowEnd(mac: MACAddress(b1.mac)!, ipv4: IPv4Address(b1.ipv4)!, port: 9), size: 64))
      for cpu in 0..<2 {
        // Of a veth's queues, that of the sender's CPU is taken.
        try DedicatedThread.run {
          try CPU.pin(to: cpu)
          try a1.node.run {
            try generator.run(
              ingress: if_nametoindex("eth0"), rate: 20_000, until: Clock.monotonicNanoseconds + 50_000_000,
              stampOffset: FrameTemplate.headerBytes)
          }
        }
        while let frame = wire.value.receive(milliseconds: 50, where: { $0.count == 64 + 50 }) {
          outer[UInt16(frame[84]) << 8 | UInt16(frame[85]), default: []].insert(UInt16(frame[34]) << 8 | UInt16(frame[35]))
        }
      }
    }
    #expect(outer.count == 8 && outer.values.allSatisfy { $0.count == 1 }, "\(outer)")
    #expect(Set(outer.values).count > 1, "flows are spread")
    #expect(try zip(before, sent()).allSatisfy { $0 + 100 < $1 }, "both workers have sent of them")
    try service.stop()
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
    for name in names { try overlay.ping(name, "b1", count: 4, options: "-i 0.005") }
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
