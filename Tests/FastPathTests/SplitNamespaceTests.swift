// SPDX-License-Identifier: Apache-2.0
import FastPath
import LinuxSystem
import TestSupport
import Testing

/// Docker's layout: bridge and VXLAN device in a namespace of their own, the uplink in the host's.
@Suite(.serialized, .enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
struct SplitNamespaceTests {
  @Test(arguments: Tier.allCases) func carriesTrafficFromEndToEnd(tier: Tier) throws {
    let overlay = try TestOverlay(containers: ["a1", "a2", "b1"], layout: .split)
    try overlay.ping("a1", "b1")
    try overlay.ping("a1", "a2")
    let services = try ["a", "b"].map { host in try overlay.start(host) { $0.tier = tier } }
    #expect(try overlay.answers("a1", "b1") == 5)
    #expect(try overlay.answers("a1", "a2") == 5)
    for (from, to) in [("a1", "b1"), ("b1", "a1"), ("a2", "a1")] {
      let transfer = try Transfer(
        from: overlay.containers[from]!, to: overlay.containers[to]!, bytes: 8 << 20)
      #expect(transfer.finish() == .intact)
    }
    for service in services {
      let stats = try service.stats()
      let uplink = try #require(stats.ports.first)
      #expect(uplink.forwarded["decapsulated"]?.bytes ?? 0 > 8 << 20, "by the fast path")
      #expect(stats.ports.allSatisfy { ($0.notSent ?? 0) == 0 && ($0.notRedirected ?? 0) == 0 })
      try service.stop()
    }
    for container in overlay.containers.values { #expect(try container.node.checksumErrors() == 0) }
  }

  /// As Docker makes it: neither local nor remote nor device, and an entry for each container elsewhere.
  @Test(arguments: Tier.allCases) func carriesWhatDockerConfigures(tier: Tier) throws {
    let overlay = try TestOverlay(
      vxlan: "noudpcsum proxy l2miss l3miss", ipv6: false, layout: .split
    ) {
      $0.remote = false
      $0.isBound = false
    }
    for (host, other) in [("a", "b1"), ("b", "a1")] {
      let far = overlay.containers[other]!
      try overlay.hosts[host]!.shell(
        "bridge fdb add \(far.macText) dev vx0 dst \(overlay.address(of: TestOverlay.other(host))) self permanent"
      )
    }
    #expect(try overlay.answers("a1", "b1", count: 2) == 2)
    let service = try overlay.start("a") {
      $0.tier = tier
      $0.uplinkNamespace = overlay.underlays["a"]!.path
    }
    #expect(try overlay.answers("a1", "b1") == 5)
    let (a1, b1) = (overlay.containers["a1"]!, overlay.containers["b1"]!)
    #expect(try Transfer(from: a1, to: b1, bytes: 4 << 20).finish() == .intact)
    #expect(try Transfer(from: b1, to: a1, bytes: 4 << 20).finish() == .intact)
    #expect(try service.stats().forwarded.bytes > 6 << 20)
    try service.stop()
  }

  // MARK: - Tier tc's veth pair between the namespaces

  private func pairs(_ overlay: TestOverlay) throws -> [String] {
    try [overlay.hosts["a"]!, overlay.underlays["a"]!].map { node in
      try node.shell("ip -o link show type veth").split(separator: "\n").map(String.init)
        .filter { $0.contains(": cv") }.joined()
    }
  }

  private func carried(_ service: FastPathService) throws -> (out: UInt64, back: UInt64) {
    let ports = try service.stats().ports
    func sum(_ verdict: String) -> UInt64 { ports.reduce(0) { $0 + ($1.forwarded[verdict]?.packets ?? 0) } }
    return (sum("encapsulated"), sum("decapsulated"))
  }

  /// Segments stay whole on the way, and what the kernel would complete at the end is completed: with and without tcx.
  @Test(arguments: [false, true]) func segmentsCrossWhole(avoidsTCX: Bool) throws {
    let overlay = try TestOverlay(vxlan: "udpcsum", wire: .partialChecksums, layout: .split)
    let service = try overlay.start("a") {
      $0.tier = .tc
      $0.avoidsTCX = avoidsTCX
    }
    #expect(try overlay.answers("a1", "b1") == 5)
    let (a1, b1) = (overlay.containers["a1"]!, overlay.containers["b1"]!)
    let before = try carried(service)
    for (from, to) in [(a1, b1), (b1, a1)] {
      #expect(try Transfer(from: from, to: to, bytes: 32 << 20).finish() == .intact)
    }
    let after = try carried(service)
    // 32 MiB in packets of 1400 bytes would be 24000.
    #expect((200..<12_000).contains(after.out - before.out) && after.back > before.back + 200)
    for container in [a1, b1] { #expect(try container.node.checksumErrors() == 0) }
    #expect(try a1.node.features(of: "eth0")["tcp-segmentation-offload"] == "on")
    try service.stop()
  }

  @Test(arguments: [false, true]) func thePairIsThereWhileItIsUsed(avoidsTCX: Bool) throws {
    let overlay = try TestOverlay(layout: .split)
    #expect(try pairs(overlay) == ["", ""])
    let service = try overlay.start("a") {
      $0.tier = .tc
      $0.avoidsTCX = avoidsTCX
    }
    let made = try pairs(overlay)
    #expect(made.allSatisfy { $0.contains("UP") && $0.contains("mtu 65535") }, "\(made)")
    for node in [overlay.hosts["a"]!, overlay.underlays["a"]!] {
      #expect(try !node.shell("ip -6 address show").contains("cv"), "no address")
    }
    #expect(try service.status().changes.contains { $0.contains("veth pair") })
    // Given back with the uplink, and made again.
    try overlay.hosts["a"]!.shell("ip link set vx0 down")
    #expect(try eventually { try pairs(overlay) == ["", ""] })
    try overlay.hosts["a"]!.shell("ip link set vx0 up")
    #expect(
      try eventually {
        // The bridge forgot who was behind the device.
        _ = try overlay.answers("a1", "b1", count: 1)
        return try !pairs(overlay).contains("")
      })
    #expect(try overlay.answers("a1", "b1") == 5)
    try service.stop()
    #expect(try pairs(overlay) == ["", ""])
    #expect(try overlay.answers("a1", "b1") == 5)
  }

  /// A pair that is down loses everything and counts nothing: the kernel's path is back at once.
  @Test func aBrokenPairGivesBackTheKernelsPath() throws {
    // All at once: the pause before the next attempt is ten seconds for each.
    let broken = try ["down in the overlay's", "down in the uplink's", "deleted"].map { how in
      let overlay = try TestOverlay(ipv6: false, layout: .split)
      let service = try overlay.start("a") { $0.tier = .tc }
      #expect(try overlay.answers("a1", "b1") == 5)
      let node = how.contains("uplink's") ? overlay.underlays["a"]! : overlay.hosts["a"]!
      let name = try pairs(overlay)[0].split(separator: " ")[1].split(separator: "@")[0]
      try node.shell(how == "deleted" ? "ip link del \(name)" : "ip link set \(name) down")
      let isGivenBack = try eventually {
        try service.status().ports.contains { $0.role == "container" && $0.reason?.contains("relay") == true }
      }
      #expect(isGivenBack, "\(how)")
      #expect(try overlay.answers("a1", "b1") == 5, "\(how)")
      return (how: how, overlay: overlay, service: service)
    }
    for (how, overlay, service) in broken {
      // And is tried again.
      let isTaken = try eventually(20) {
        try service.status().ports.contains { $0.role == "container" && $0.reason == nil }
      }
      #expect(isTaken, "\(how)")
      let before = try carried(service)
      #expect(try overlay.answers("a1", "b1") == 5, "\(how)")
      let after = try carried(service)
      #expect(after.out >= before.out + 4 && after.back >= before.back + 4, "\(how)")
      try service.stop()
      #expect(try pairs(overlay) == ["", ""], "\(how)")
    }
  }

  /// As Docker deletes a sandbox with the last container.
  @Test func theOverlaysNamespaceGoes() throws {
    let overlay = try TestOverlay(ipv6: false, layout: .split)
    let service = try overlay.start("a") { $0.tier = .tc }
    #expect(try overlay.answers("a1", "b1") == 5)
    overlay.hosts["a"]!.namespace.remove()
    #expect(throws: Failure.self) { try service.waitUntilEnded() }
    #expect(
      try eventually {
        try !overlay.underlays["a"]!.shell("ip -o link show").contains(": cv")
      })
  }

  @Test func automaticIsTC() throws {
    let overlay = try TestOverlay(ipv6: false, layout: .split)
    let service = try overlay.start("a") { $0.tier = nil }
    #expect(service.obtained.hasPrefix("tc "))
    #expect(try overlay.answers("a1", "b1") == 5)
    let carried = try carried(service)
    #expect(carried.out >= 4 && carried.back >= 4)
    try service.stop()
  }
}
