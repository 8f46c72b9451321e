// SPDX-License-Identifier: Apache-2.0
import FastPath
import Glibc
import LinuxSystem
import TestSupport
import Testing

/// Merged packets end where a plain kernel's would: datagrams at sockets that know nothing of UDP_GRO, and TCP,
/// by every kind of GRO on the uplink.
@Suite(.serialized, .enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
struct C20DatagramSegmentsTests {
  private static let rounds = 50

  /// Bytes that arrive of batches of `count` datagrams from `from` to `to`.
  private func received(
    _ from: TestOverlay.Container, _ to: TestOverlay.Container, _ count: Int, ipv6: Bool
  ) throws -> Int {
    func address(_ container: TestOverlay.Container) -> String { ipv6 ? container.ipv6 : container.ipv4 }
    let sender = Box(try from.node.open { try DatagramSocket(address(from), 9) })
    let receiver = Box(try to.node.open { try DatagramSocket(address(to), 9) })
    let bytes = [UInt8](repeating: 0x78, count: 1200 * count)
    var total = 0
    for _ in 0..<Self.rounds {
      try sender.value.send(bytes, to: address(to), 9, segment: 1200)
      // One after the other: no queue on the way overflows.
      total += receiver.value.receive(bytes.count, quiet: 60)
    }
    return total
  }

  @Test(arguments: [40, 2], Tier.allCases) func batchesFromAPlainKernelArrive(count: Int, tier: Tier) throws {
    for ipv6 in [false, true] {
      let kernel = try sameAsKernel(tier, count, ipv6) { side in
        let overlay = try TestOverlay(wire: .partialChecksums)
        try overlay.ping("a1", "b1")
        let service = try side.start(overlay)
        try overlay.ping("a1", "b1", count: 2)
        let bytes = try received(overlay.containers["b1"]!, overlay.containers["a1"]!, count, ipv6: ipv6)
        try service?.stop()
        return bytes
      }
      #expect(kernel == Self.rounds * 1200 * count)
    }
  }

  private func refusal(of container: TestOverlay.Container) throws -> Int32? {
    let sender = Box(try container.node.open { try DatagramSocket(container.ipv4, 9) })
    do { try sender.value.send([UInt8](repeating: 0x78, count: 2400), to: "198.18.99.9", 9, segment: 1200) } catch
      let failure as Failure
    { return failure.errno?.rawValue }
    return nil
  }

  /// What a1 sends, and what goes on inside one host. Before Linux 6.11 a batch is refused where the interface makes no
  /// checksums, which is how tiers xdp and afxdp have a container's.
  @Test(arguments: Tier.allCases) func batchesOfTheContainersOwnArrive(tier: Tier) throws {
    let plain = try TestOverlay(containers: ["a1", "b1"])
    let container = plain.containers["a1"]!
    try container.node.shell("ethtool -K eth0 tx-checksum-ip-generic off")
    try container.node.shell("ip route add 198.18.99.0/24 dev eth0")
    if tier != .tc, let refused = try refusal(of: container) {
      try container.node.shell("ethtool -K eth0 tx-checksum-ip-generic on")
      #expect(try refused == EIO && refusal(of: container) == nil)
      try plain.ping("a1", "b1")
      let service = try plain.start("a") { $0.tier = tier }
      #expect(try refusal(of: container) == EIO)
      return try service.stop()
    }
    for ipv6 in [false, true] {
      let kernel = try sameAsKernel(tier, ipv6) { side in
        let overlay = try TestOverlay(containers: ["a1", "a2", "b1"], wire: .partialChecksums)
        try overlay.ping("a1", "b1")
        try overlay.ping("a1", "a2")
        let service = try side.start(overlay)
        try overlay.ping("a1", "b1", count: 2)
        try overlay.ping("a1", "a2", count: 2)
        let bytes = try ["b1", "a2"].map {
          try received(overlay.containers["a1"]!, overlay.containers[$0]!, 20, ipv6: ipv6)
        }
        try service?.stop()
        return bytes
      }
      #expect(kernel == [Self.rounds * 1200 * 20, Self.rounds * 1200 * 20])
    }
  }

  /// Every kind of merging on the uplink of the tier's host: for forwarding, and as a list of whole packets.
  @Test(
    arguments: ["rx-udp-gro-forwarding on", "rx-gro-list on", "rx-udp-gro-forwarding on rx-gro-list on"],
    Tier.allCases)
  func everyKindOfMergingEndsWell(features: String, tier: Tier) throws {
    for ipv6 in [false, true] {
      let kernel = try sameAsKernel(tier, features, ipv6) { side in
        let overlay = try TestOverlay()
        try overlay.hosts["a"]!.shell("ethtool -K eth0 \(features)")
        // Cut up by the sender, so that it is the receiver who merges.
        try overlay.hosts["b"]!.shell("ethtool -K eth0 tso off gso off")
        try overlay.ping("a1", "b1")
        let service = try side.start(overlay)
        try overlay.ping("a1", "b1", count: 2)
        let (a1, b1) = (overlay.containers["a1"]!, overlay.containers["b1"]!)
        let bytes = try received(b1, a1, 40, ipv6: ipv6)
        let outcome = try Transfer(from: b1, to: a1, bytes: 8 << 20, ipv6: ipv6, patience: 5).finish()
        let errors = try a1.node.checksumErrors()
        try service?.stop()
        return [bytes == Self.rounds * 1200 * 40, outcome == .intact, errors == 0]
      }
      #expect(kernel == [true, true, true])
    }
  }

  /// A container that routes on: what was merged is cut up again behind it.
  @Test(
    arguments: ["", "rx-udp-gro-forwarding on", "rx-gro-list on", "rx-udp-gro-forwarding on rx-gro-list on"],
    Tier.allCases)
  func batchesThatAreRoutedOnArrive(features: String, tier: Tier) throws {
    let kernel = try sameAsKernel(tier, features) { side in
      // As a veth hands them over, or cut up by the sender, so that it is the receiver who merges.
      let overlay = try TestOverlay(wire: features.isEmpty ? .partialChecksums : .completeChecksums)
      if !features.isEmpty {
        try overlay.hosts["a"]!.shell("ethtool -K eth0 \(features)")
        try overlay.hosts["b"]!.shell("ethtool -K eth0 tso off gso off")
      }
      let (a1, b1) = (overlay.containers["a1"]!, overlay.containers["b1"]!)
      let behind = try overlay.addMachine(behind: "a1")
      let service = try side.start(overlay)
      try overlay.ping("a1", "b1", count: 2)
      var found: [Bool] = []
      for ipv6 in [false, true] {
        #expect(try eventually { try b1.node.answers(ipv6 ? behind.ipv6 : behind.ipv4, count: 2) == 2 })
        found.append(try received(b1, behind, 40, ipv6: ipv6) == Self.rounds * 1200 * 40)
        found.append(try Transfer(from: b1, to: behind, bytes: 8 << 20, ipv6: ipv6, patience: 5).finish() == .intact)
      }
      found.append(try behind.node.checksumErrors() + a1.node.checksumErrors() == 0)
      // Lists of packets are the kernel's to forward.
      if features.isEmpty, let service { #expect(try service.stats().forwarded.bytes > 8 << 20, "by the fast path") }
      try service?.stop()
      return found
    }
    #expect(kernel == [true, true, true, true, true])
  }
}
