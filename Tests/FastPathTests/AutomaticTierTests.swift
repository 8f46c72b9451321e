// SPDX-License-Identifier: Apache-2.0
import FastPath
import LinuxSystem
import Synchronization
import TestSupport
import Testing

/// `--tier auto`: what an uplink can do decides, and it is said.
@Suite(.serialized, .enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
struct AutomaticTierTests {
  private func start(_ overlay: TestOverlay, _ host: String) throws -> (
    service: FastPathService, said: [String]
  ) {
    let said = Mutex<[String]>([])
    let service = try FastPathService.start(overlay.options(host) { $0.tier = nil }) { line in said.withLock { $0.append(line) }
    }
    return (service, said.withLock { $0 })
  }

  /// XDP on a container's veth would take its segmentation offload, also for what is not the overlay's.
  @Test func vethsGetTC() throws {
    let overlay = try TestOverlay()
    let (service, said) = try start(overlay, "a")
    #expect(service.obtained.hasPrefix("tc "))
    #expect(said.contains { $0.hasPrefix("tier auto: tc, since it leaves veths") })
    #expect(try InterfaceProbe.look(at: "eth0", namespace: overlay.hosts["a"]!.path).tier == "tc")
    try service.stop()
  }

  /// The underlay's address is on a bridge, as where virtual machines live: it has no XDP of its own.
  @Test func aDriverWithoutXDPGetsTC() throws {
    let overlay = try TestOverlay()
    for (host, number, other) in [("a", 1, 2), ("b", 2, 1)] {
      let node = overlay.hosts[host]!
      try node.shell("ip link add up0 type bridge")
      try node.shell("ip link set eth0 master up0")
      try node.shell("ip link set up0 up")
      try node.shell("ip addr add 198.18.7.\(number)/24 dev up0")
      try node.shell("ip link del vx0")
      try node.shell(
        "ip link add vx0 type vxlan id 42 local 198.18.7.\(number) remote 198.18.7.\(other) dstport 4789 dev up0 noudpcsum"
      )
      try node.shell("ip link set vx0 master br0 up")
    }
    try overlay.ping("a1", "b1", count: 3)
    let probe = try InterfaceProbe.look(at: "up0", namespace: overlay.hosts["a"]!.path)
    #expect(probe.tier == "tc")
    let services = try ["a", "b"].map { try start(overlay, $0) }
    #expect(services.allSatisfy { $0.service.obtained.hasPrefix("tc ") })
    try overlay.ping("a1", "b1", count: 5)
    #expect(
      try Transfer(from: overlay.containers["a1"]!, to: overlay.containers["b1"]!, bytes: 4 << 20).finish()
        == .intact)
    let ports = try services[0].service.stats().ports
    #expect(ports.first { $0.name == "va1" }?.forwarded["encapsulated"]?.bytes ?? 0 > 4 << 20)
    #expect(ports.first { $0.name == "up0" }?.forwarded["decapsulated"]?.packets ?? 0 > 5)
    for service in services.map(\.service) { try service.stop() }
  }
}
