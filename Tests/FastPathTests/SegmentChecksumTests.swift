// SPDX-License-Identifier: Apache-2.0
import FastPath
import LinuxSystem
import TestSupport
import Testing

/// The kernel's default is an outer UDP checksum, which a program cannot leave to the device for segments: they go with a
/// zero one (RFC 7348 section 5), or by the kernel where that is asked for.
@Suite(.enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
struct SegmentChecksumTests {
  @Test(arguments: OuterChecksum.allCases)
  func segmentsAreForwardedUnlessExactIsAskedFor(checksum: OuterChecksum) throws {
    let overlay = try TestOverlay(vxlan: "udpcsum")
    let service = try overlay.start("a") {
      $0.tier = .tc
      $0.outerChecksum = checksum
    }
    defer { try? service.stop() }
    let status = try service.status()
    #expect(status.outerChecksum == checksum.rawValue)
    #expect(status.segmentChecksum == (checksum == .auto ? "zero" : "kernel"))
    let bytes = 40 << 20
    let (a1, b1) = (overlay.containers["a1"]!, overlay.containers["b1"]!)
    #expect(try Transfer(from: a1, to: b1, bytes: bytes).finish() == .intact)
    let port = try #require(try service.stats().ports.first { $0.name == "va1" })
    let forwarded = port.forwarded["encapsulated"]?.bytes ?? 0
    // A port that carries little of what it sends is given back.
    #expect(checksum == .exact ? forwarded < UInt64(bytes) / 10 : forwarded > UInt64(bytes) * 9 / 10, "\(port)")
  }

  /// Where the device sends no checksum, or the tier no segment, or over IPv6 none without, there is nothing to say.
  @Test func onlyWhatDiffersFromTheDeviceIsSaid() throws {
    for (device, tier, isOverIPv6) in [("noudpcsum", Tier.tc, false), ("udpcsum", .xdp, false), ("udpcsum", .tc, true)] {
      let overlay = try TestOverlay(vxlan: device, ipv6: false, overIPv6: isOverIPv6)
      let service = try overlay.start("a") { $0.tier = tier }
      #expect(try service.status().segmentChecksum == nil, "\(device) \(tier)")
      try service.stop()
    }
  }

  /// Single segments whose checksum the container has made already, with their payload in fragments: offloads off.
  @Test func aWholeChecksumInsideIsSummedOverFragments() throws {
    let overlay = try TestOverlay(vxlan: "udpcsum")
    let (a1, b1) = (overlay.containers["a1"]!, overlay.containers["b1"]!)
    try a1.node.shell("ethtool -K eth0 tx-checksum-ip-generic off tso off gso off")
    try overlay.hosts["b"]!.shell("ethtool -K eth0 gro off")
    let service = try overlay.start("a") {
      $0.tier = .tc
      $0.outerChecksum = .exact
    }
    defer { try? service.stop() }
    try overlay.ping("a1", "b1")
    let wire = Box(try overlay.hosts["b"]!.open { try PacketSocket(interface: "eth0") })
    // The shorter frame, whose last word is not whole, is copied over the longer one.
    for (index, mtu) in [1450, 1445].enumerated() {
      try a1.node.shell("ip link set eth0 mtu \(mtu)")
      #expect(try Transfer(from: a1, to: b1, bytes: 4 << 20).finish() == .intact)
      let port = try #require(try service.stats().ports.first { $0.name == "va1" })
      #expect(port.forwarded["encapsulated"]?.bytes ?? 0 > UInt64(index + 1) * 3 << 20, "\(port)")
      for _ in 0..<20 {
        let frame = try #require(wire.value.receive { $0.count == mtu + 64 })
        #expect(frame[40...41] != [0, 0] && SameWireTests.checksumsHold(frame))
      }
    }
  }
}
