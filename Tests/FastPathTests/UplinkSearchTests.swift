// SPDX-License-Identifier: Apache-2.0
import FastPath
import LinuxSystem
import TestSupport
import Testing

/// Which interface VXLAN packets leave by, where neither the operator nor the device says so.
@Suite(.serialized, .enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
struct UplinkSearchTests {
  /// An overlay whose device is bound to nothing and knows nobody.
  func unbound(_ words: String) throws -> TestOverlay {
    let overlay = try TestOverlay(ipv6: false)
    let a = overlay.hosts["a"]!
    try a.shell("ip link del vx0")
    try a.shell("ip link add vx0 type vxlan id 42 dstport 4789 noudpcsum \(words)")
    try a.shell("ip link set vx0 master br0 up")
    return overlay
  }

  func uplink(_ overlay: TestOverlay) throws -> String {
    let service = try overlay.start("a") { $0.tier = .tc }
    defer { try? service.stop() }
    return try service.status().uplink
  }

  @Test func theInterfaceOfTheDevicesAddressIsTaken() throws {
    #expect(try uplink(unbound("local 198.18.0.1")) == "eth0")
  }

  @Test func theDefaultRouteLeadsThere() throws {
    let overlay = try unbound("")
    let a = overlay.hosts["a"]!
    try a.shell("ip link add w1 type veth peer name w2")
    try a.shell("ip link set w1 up")
    try a.shell("ip addr add 198.18.9.1/24 dev w1")
    #expect(throws: Failure.self, "two that could be it") { try uplink(overlay) }
    try a.shell("ip route add default via 198.18.0.2")
    #expect(try uplink(overlay) == "eth0")
  }

  @Test func theOnlyOneIsTakenBesideDockersBridges() throws {
    let overlay = try unbound("")
    let a = overlay.hosts["a"]!
    try a.shell("ip link add docker0 type bridge")
    try a.shell("ip link set docker0 up")
    try a.shell("ip addr add 198.18.10.1/24 dev docker0")
    #expect(try uplink(overlay) == "eth0")
  }

  /// Docker leaves its own address in the FDB for containers that were made again.
  @Test func theHostsOwnAddressLeadsNowhere() throws {
    let overlay = try unbound("")
    let a = overlay.hosts["a"]!
    try a.shell("ip route add default via 198.18.0.2")
    for (mac, vtep) in [("02:00:00:00:00:01", "198.18.0.1"), ("02:00:00:00:00:02", "198.18.0.2")] {
      try a.shell("bridge fdb add \(mac) dev vx0 self dst \(vtep)")
    }
    #expect(try uplink(overlay) == "eth0")
  }

  @Test func aDeviceWithoutEthernetIsNamed() throws {
    let overlay = try unbound("")
    let a = overlay.hosts["a"]!
    try a.shell("ip tuntap add tun0 mode tun")
    try a.shell("ip link set tun0 up")
    try a.shell("ip route add default dev tun0")
    let error = #expect(throws: Failure.self) { try uplink(overlay) }
    #expect(
      error?.description.contains("tun0") == true && error?.description.contains("not an Ethernet device") == true
    )
  }

  /// The sibling of a container's namespace that must not be kept: the overlay's own.
  @Test func aNamespaceThatIsDeletedEndsIt() throws {
    let overlay = try TestOverlay(ipv6: false)
    let service = try overlay.start("a") { $0.tier = .tc }
    overlay.hosts["a"]!.namespace.remove()
    let error = #expect(throws: Failure.self) { try service.waitUntilEnded() }
    #expect(error?.description.contains("the namespace of br0 is gone") == true)
  }
}
