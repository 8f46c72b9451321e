// SPDX-License-Identifier: Apache-2.0
import FastPath
import LinuxSystem
import TestSupport
import Testing

/// A bridge without a VXLAN device, as docker0 is: tier tc serves it for what its containers send each other.
@Suite(.serialized, .enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
struct BridgeAloneTests {
  /// br0 on host a, with a1 and a2; nothing else is a port.
  private func bridge() throws -> TestOverlay {
    let overlay = try TestOverlay(containers: ["a1", "a2"], introduced: false)
    try overlay.hosts["a"]!.shell("ip link del vx0")
    try overlay.hosts["a"]!.shell("ip addr add 198.19.0.254/16 dev br0")
    try overlay.ping("a1", "a2")
    return overlay
  }

  private func start(
    _ overlay: TestOverlay, _ change: (inout FastPathOptions) -> Void = { _ in }
  ) throws -> FastPathService {
    try overlay.start("a") {
      $0.tier = nil
      change(&$0)
    }
  }

  private func served(_ service: FastPathService) throws -> [String] {
    try service.status().ports.filter { $0.tier == "tc" && $0.reason == nil }.map(\.name).sorted()
  }

  private func forwarded(_ service: FastPathService) throws -> UInt64 {
    try service.stats().ports.reduce(0) { $0 + ($1.forwarded["local"]?.packets ?? 0) }
  }

  @Test(arguments: [true, false]) func containersReachEachOtherByIt(tcx: Bool) throws {
    let overlay = try bridge()
    let service = try start(overlay) { $0.avoidsTCX = !tcx }
    defer { try? service.stop() }
    #expect(try served(service) == ["va1", "va2"])
    let status = try service.status()
    #expect(status.bridge == "br0" && status.vxlan.isEmpty && status.uplink.isEmpty && status.vni == 0)
    #expect(status.entries.local == 2 && status.entries.remote == 0 && status.tunnels.isEmpty)
    #expect(status.changes.allSatisfy { $0.contains("filter") || $0.contains("clsact") }, "\(status.changes)")
    #expect(!status.ports.contains { $0.role == "uplink" })
    #expect(!Readiness(status).isBlocked)

    let (a1, a2) = (overlay.containers["a1"]!, overlay.containers["a2"]!)
    let before = try a2.node.counter("rx_packets", of: "eth0")
    #expect(try overlay.answers("a1", "a2", count: 20) == 20)
    #expect(try Transfer(from: a1, to: a2, bytes: 8 << 20).finish() == .intact)
    #expect(try forwarded(service) > 40)
    #expect(try a2.node.counter("rx_packets", of: "eth0") > before)
    #expect(try a1.node.checksumErrors() + a2.node.checksumErrors() == 0)

    try service.stop()
    #expect(try overlay.answers("a1", "a2") == 5)
    #expect(try !overlay.hosts["a"]!.shell("tc qdisc show").contains("clsact"))
  }

  @Test func whatIsTheHostsGoesToTheHost() throws {
    let overlay = try bridge()
    let service = try start(overlay)
    defer { try? service.stop() }
    let host = "198.19.0.254"
    #expect(try overlay.containers["a1"]!.node.answers(host) == 5)
    let port = try service.stats().ports.first { $0.name == "va1" }
    #expect(port?.passed["host"]?.packets ?? 0 >= 5)
    // Nobody looks at what leaves the bridge by another device.
    #expect(try forwarded(service) == 0)
  }

  @Test func oneContainerHasNobodyToSendTo() throws {
    let overlay = try bridge()
    let service = try start(overlay)
    defer { try? service.stop() }
    overlay.removeContainer("a2")
    #expect(try eventually { try served(service).isEmpty })
    #expect(try service.status().ports.first?.reason == "no MAC address it could send to is known yet")
    try overlay.addContainer("a3", mtu: 1450)
    try overlay.ping("a1", "a3")
    #expect(try eventually { try served(service) == ["va1", "va3"] })
    try overlay.ping("a1", "a3", count: 3)
    #expect(try forwarded(service) > 0)
  }

  @Test func aFirewallOnTheBridgeHasTheSay() throws {
    let overlay = try bridge()
    let service = try start(overlay)
    defer { try? service.stop() }
    let host = overlay.hosts["a"]!
    try host.run {
      try TestSupport.shell("nft", "add table bridge t")
      try TestSupport.shell("nft", "add chain bridge t c { type filter hook forward priority 0; }")
      try TestSupport.shell("nft", "add rule bridge t c ip protocol icmp drop")
    }
    #expect(try eventually { try served(service).isEmpty })
    #expect(try service.status().ports.first?.reason?.contains("bridge t c sees bridged packets") == true)
    #expect(try overlay.answers("a1", "a2", patience: 0.3) == 0)
    try host.shell("nft delete table bridge t")
    #expect(try eventually { try served(service) == ["va1", "va2"] })
    #expect(try overlay.answers("a1", "a2") == 5)
  }

  /// With a port published, as Docker has it for docker0.
  @Test func dockersChainsStopNothing() throws {
    let overlay = try bridge()
    let host = overlay.hosts["a"]!
    try overlay.setNetfilter(true, on: "a")
    try host.run {
      for rules in [
        "table ip filter { chain FORWARD { type filter hook forward priority 0; policy drop; jump DOCKER-USER; "
          + "oifname br0 ct state related,established counter accept; oifname br0 counter jump DOCKER; "
          + "iifname br0 oifname != br0 counter accept; iifname br0 oifname br0 counter accept; }; "
          + "chain DOCKER-USER { counter return; }; "
          + "chain DOCKER { iifname != br0 oifname br0 ip daddr 198.19.0.1 tcp dport 80 counter accept; }; }",
        "table ip nat { chain POSTROUTING { type nat hook postrouting priority 100; "
          + "oifname != br0 ip saddr 198.19.0.0/16 counter masquerade; "
          + "ip saddr 198.19.0.1 ip daddr 198.19.0.1 tcp dport 80 counter masquerade; }; }",
      ] { try TestSupport.shell(["nft", "-f", "-"], input: rules) }
    }
    let service = try start(overlay)
    defer { try? service.stop() }
    let ports = try service.status().ports
    #expect(try served(service) == ["va1", "va2"], "\(ports)")
    #expect(try overlay.answers("a1", "a2") == 5)
    #expect(try forwarded(service) > 0)
    // A user's rule about all of it does.
    try host.run { try TestSupport.shell("nft", "insert rule ip filter DOCKER-USER ip protocol icmp drop") }
    #expect(try eventually { try served(service).isEmpty })
    #expect(try overlay.answers("a1", "a2", patience: 0.3) == 0)
  }

  @Test func aVXLANDeviceThatJoinsStaysWithTheKernel() throws {
    let overlay = try bridge()
    let service = try start(overlay)
    defer { try? service.stop() }
    let host = overlay.hosts["a"]!
    try host.shell("ip link add vx1 type vxlan id 42 dstport 4789 remote 198.18.0.2 dev eth0")
    try host.shell("ip link set vx1 master br0 up")
    func reason() throws -> String? { try service.status().ports.first { $0.name == "vx1" }?.reason }
    #expect(try eventually { try reason()?.contains("VXLAN device that joined br0 later") == true })
    #expect(try served(service) == ["va1", "va2"])
    try overlay.ping("a1", "a2", count: 3)
  }

  @Test func itEndsWithItsBridge() throws {
    let overlay = try bridge()
    let service = try start(overlay)
    try overlay.hosts["a"]!.shell("ip link del br0")
    #expect(throws: Failure.self) { try service.waitUntilEnded() }
  }

  @Test func whatNeedsAnUplinkIsRefused() throws {
    let overlay = try bridge()
    func refusal(_ change: (inout FastPathOptions) -> Void) -> String {
      do {
        let service = try start(overlay, change)
        try service.stop()
        return "it was served"
      } catch { return "\(error)" }
    }
    for tier in [Tier.xdp, .afxdp] {
      #expect(refusal { $0.tier = tier }.contains("only tier tc serves that, not \(tier.rawValue)"))
    }
    #expect(refusal { $0.mode = .generic }.contains("not xdp"))
    #expect(refusal { $0.uplink = "eth0" }.contains("it has no uplink"))
    #expect(refusal { $0.strict = true }.contains("it has no VTEPs"))
    // Nothing was left by that.
    #expect(try Overlays.directories(namespace: overlay.hosts["a"]!.path, all: false).isEmpty)
  }
}
