// SPDX-License-Identifier: Apache-2.0
import FastPath
import Foundation
import LinuxSystem
import Synchronization
import TestSupport
import Testing

/// What becomes of packets between living containers: accounting to the packet,
/// delivery on one host, migration, ageing, --strict, sizes around the MTU.
@Suite(.serialized, .enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
struct TrafficTests {
  func socket(_ overlay: TestOverlay, _ container: String) throws -> Box<PacketSocket> {
    Box(try overlay.containers[container]!.node.open { try PacketSocket(interface: "eth0") })
  }

  func port(_ name: String, _ service: FastPathService) throws -> Stats.Port {
    try #require(try service.stats().ports.first { $0.name == name })
  }

  @Test(arguments: Tier.allCases) func everyPacketIsAccountedFor(tier: Tier) throws {
    let overlay = try TestOverlay(containers: ["a1", "a2", "b1"], ipv6: false)
    try overlay.ping("a1", "b1")
    try overlay.ping("a1", "a2")
    let service = try overlay.start("a") { $0.tier = tier }
    let sender = try socket(overlay, "a1")
    let far = try socket(overlay, "b1")
    // The source's refresh, and the far end's answer to it, are over before the count begins.
    try sender.value.send(overlay.packet(.icmp4, "a1", "b1").bytes)
    #expect(far.value.receive { $0.count == overlay.packet(.icmp4, "a1", "b1").bytes.count } != nil)
    _ = try settled { try port("va1", service).received }
    let before = try port("va1", service)

    var frames: [(count: Int, frame: [UInt8])] = []
    frames.append((100, overlay.packet(.tcp4, "a1", "b1").bytes))
    frames.append((70, overlay.packet(.udp6, "a1", "b1").bytes))
    frames.append((30, overlay.packet(.udp4, "a1", "a2").bytes))
    var broadcast = overlay.packet(.udp4, "a1", "b1")
    broadcast.destination = [255, 255, 255, 255, 255, 255]
    frames.append((11, broadcast.bytes))
    var unknown = overlay.packet(.udp4, "a1", "b1")
    unknown.destination = [2, 0, 0, 9, 9, 9]
    frames.append((7, unknown.bytes))
    var stranger = overlay.packet(.udp4, "a1", "b1")
    stranger.source = [2, 0, 0, 8, 8, 8]
    frames.append((1, stranger.bytes))
    var arp = overlay.packet(.udp4, "a1", "b1").bytes
    arp.replaceSubrange(12..<14, with: [8, 6])
    frames.append((5, arp))
    var itself = overlay.packet(.udp4, "a1", "b1")
    itself.destination = itself.source
    frames.append((3, itself.bytes))
    var bytes = 0
    for (count, frame) in frames {
      for _ in 0..<count { try sender.value.send(frame) }
      bytes += count * frame.count
    }
    _ = try settled { try port("va1", service).received }
    let after = try port("va1", service)
    try service.stop()
    func count(_ key: KeyPath<Stats.Port, [String: Stats.Count]>, _ name: String) -> UInt64 {
      (after[keyPath: key][name]?.packets ?? 0) - (before[keyPath: key][name]?.packets ?? 0)
    }
    #expect(count(\.forwarded, "encapsulated") == 170)
    #expect(count(\.forwarded, "local") == 30)
    #expect(count(\.passed, "multicast") == 11)
    #expect(count(\.passed, "unknown-destination") == 7)
    #expect(count(\.passed, "unknown-source") == 1)
    #expect(count(\.passed, "not-ip") == 5)
    #expect(count(\.passed, "same-port") == 3)
    #expect(after.received.packets - before.received.packets == 227)
    #expect(after.received.bytes - before.received.bytes == UInt64(bytes))
  }

  @Test(arguments: Tier.allCases) func framesAroundTheMTUArriveOrGoToTheKernelAsBefore(tier: Tier) throws {
    let overlay = try TestOverlay()
    try overlay.ping("a1", "b1")
    let a = try overlay.start("a") { $0.tier = tier }
    let b = try overlay.start("b") { $0.tier = tier }
    for size in [1421, 1422] { try overlay.ping("a1", "b1", options: "-M do -s \(size)") }
    #expect(throws: ShellFailure.self) { try overlay.ping("a1", "b1", options: "-M do -s 1423") }
    // Fragments of a datagram larger than the MTU go the fast way too.
    try overlay.ping("a1", "b1", options: "-M dont -s 4000")
    // What no longer fits the way to the VTEP is the kernel's to fragment.
    try overlay.hosts["a"]!.shell("ip route change 198.18.0.0/24 dev eth0 src 198.18.0.1 mtu 1480")
    let isFragmented = try eventually {
      try overlay.ping("a1", "b1", options: "-M dont -s 1421")
      return try port("va1", a).passed["mtu"] != nil
    }
    #expect(isFragmented)
    try a.stop()
    try b.stop()
  }

  /// A container whose MTU is raised above the overlay's: what is too long is the kernel's to drop.
  @Test(arguments: Tier.allCases) func framesOverTheOverlaysMTUAreTheKernels(tier: Tier) throws {
    let overlay = try TestOverlay(ipv6: false)
    let sender = try socket(overlay, "a1")
    let a = try overlay.start("a") { $0.tier = tier }
    try overlay.containers["a1"]!.node.shell("ip link set eth0 mtu 1500")
    if tier != .tc {
      // Its segments need the offload that the program takes: the port goes, sooner or later than the frame.
      let isGivenBack = try eventually {
        try a.status().ports.contains { $0.name == "va1" && $0.reason?.contains("MTU of 1500") == true }
      }
      #expect(isGivenBack)
    }
    var big = overlay.packet(.udp4, "a1", "b1")
    big.payload = [UInt8](repeating: 7, count: 1451 - 28)
    let far = try socket(overlay, "b1")
    try sender.value.send(big.bytes)
    big.payload.removeLast()
    try sender.value.send(big.bytes)
    // The one that fits comes after it, alone.
    let first = far.value.receive { $0.count > 1400 }
    #expect(first?.count == big.bytes.count)
    if tier == .tc {
      let isPassed = try eventually { try port("va1", a).passed["mtu"]?.packets == 1 }
      #expect(isPassed)
    }
    try a.stop()
  }

  @Test(arguments: Tier.allCases) func aContainerThatMovesToTheOtherHostIsFoundThere(tier: Tier) throws {
    let overlay = try TestOverlay(containers: ["a1", "a2", "b1"])
    let a = try overlay.start("a") { $0.tier = tier }
    let b = try overlay.start("b") { $0.tier = tier }
    try overlay.ping("a1", "a2")
    try overlay.ping("a1", "a2", count: 3)
    #expect(try port("va1", a).forwarded["local"] != nil)
    // a2 leaves host A and appears on host B with the same addresses.
    let moving = overlay.containers["a2"]!
    try overlay.hosts["a"]!.shell("ip link del va2")
    let moved = try overlay.addContainer("b2", mac: moving.mac, number: moving.number)
    // It says so, as a container runtime does: a gratuitous ARP teaches every bridge.
    let announcer = try socket(overlay, "b2")
    let who = [198, 19, 0, moving.number] as [UInt8]
    try announcer.value.send(
      [255, 255, 255, 255, 255, 255] + moved.mac + [8, 6, 0, 1, 8, 0, 6, 4, 0, 2] + moved.mac + who
        + moved.mac + who)
    let isFound = try eventually { try overlay.answers("a1", "b2", count: 1) == 1 }
    #expect(isFound)
    let before = try port("va1", a).forwarded["encapsulated"]?.packets ?? 0
    try overlay.ping("a1", "b2", count: 5)
    #expect(try port("va1", a).forwarded["encapsulated"]?.packets ?? 0 >= before + 4)
    try a.stop()
    try b.stop()
  }

  /// Traffic that bypasses the kernel would starve its entries; one packet per source
  /// every third of the ageing time keeps them, and silence lets them age as ever.
  /// The tiers all at once, since each waits.
  @Test func entriesOutliveTheAgeingTimeWhileTrafficFlowsAndAgeWithoutIt() throws {
    let served = try Tier.allCases.map { tier in
      let overlay = try TestOverlay(ageing: 3)
      try overlay.ping("a1", "b1")
      let a = try overlay.start("a") { $0.tier = tier }
      let b = try overlay.start("b") { $0.tier = tier }
      return (tier: tier, overlay: overlay, a: a, b: b)
    }
    func known(_ overlay: TestOverlay, _ host: String) throws -> Int {
      let text = try overlay.hosts[host]!.shell("bridge fdb show dynamic")
      return overlay.containers.values.filter { text.contains($0.macText) }.count
    }
    // Twice the ageing time of steady traffic, and never a flood.
    let answers = Mutex<[Tier: Int]>([:])
    let threads = try served.map { tier, overlay, _, _ in
      let (node, address) = (overlay.containers["a1"]!.node, overlay.containers["b1"]!.ipv4)
      return try DedicatedThread {
        let count = try? node.answers(address, count: 70, interval: 0.1)
        answers.withLock { $0[tier] = count }
      }
    }
    for thread in threads { thread.join() }
    for (tier, overlay, a, _) in served {
      #expect(answers.withLock { $0[tier] } == 70, "\(tier)")
      #expect(try known(overlay, "a") == 2 && known(overlay, "b") == 2, "\(tier)")
      let port = try port("va1", a)
      #expect(port.passed["unknown-destination"] == nil, "\(tier)")
      let refreshes = port.passed["refresh"]?.packets ?? 0
      #expect((4...15).contains(refreshes), "\(tier): about one each second for seven seconds")
      #expect(port.forwarded["encapsulated"]?.packets ?? 0 > 50, "\(tier)")
    }
    for (tier, overlay, a, b) in served {
      let isForgotten = try eventually(8) {
        try known(overlay, "a") == 0 && known(overlay, "b") == 0 && a.status().entries.local == 0
      }
      #expect(isForgotten, "\(tier)")
      try overlay.ping("a1", "b1", count: 2)
      try a.stop()
      try b.stop()
    }
  }

  @Test(arguments: Tier.allCases) func strictDropsVXLANFromSendersThatAreNoVTEP(tier: Tier) throws {
    for strict in [false, true] {
      // A multicast report of the container's own would have the kernel relearn its source before the test looks.
      let overlay = try TestOverlay(ipv6: false)
      try overlay.ping("a1", "b1")
      let service = try overlay.start("a") {
        $0.strict = strict
        $0.tier = tier
      }
      // Host B speaks from an address that no entry of host A names.
      try overlay.hosts["b"]!.shell("ip addr add 198.18.0.9/24 dev eth0")
      try overlay.hosts["b"]!.shell(
        "ip neigh replace 198.18.0.1 lladdr \(try mac(overlay, "a")) dev eth0 nud permanent")
      try overlay.hosts["b"]!.shell("ip link set vx0 type vxlan id 42 local 198.18.0.9")
      _ = try overlay.answers("b1", "a1", count: 3, patience: 0.3)
      let uplink = try port("eth0", service)
      if strict {
        #expect(uplink.dropped["not-a-vtep"]?.packets ?? 0 >= 3)
        // Configured while it runs, the sender may speak.
        try overlay.hosts["a"]!.shell("bridge fdb append 00:00:00:00:00:00 dev vx0 dst 198.18.0.9")
        let maySpeak = try eventually { try overlay.answers("b1", "a1", count: 1) == 1 }
        #expect(maySpeak)
        try overlay.ping("b1", "a1", count: 3)
      } else {
        #expect(uplink.dropped.isEmpty)
        #expect(uplink.passed["moved-source"]?.packets ?? 0 >= 1, "the kernel decides, and learns")
      }
      try service.stop()
    }
  }

  func mac(_ overlay: TestOverlay, _ host: String) throws -> String {
    let text = try overlay.hosts[host]!.shell("ip -o link show eth0")
    return String(text.split(separator: " ").drop { $0 != "link/ether" }.dropFirst().first!)
  }
}
