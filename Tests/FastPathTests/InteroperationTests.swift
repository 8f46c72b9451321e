// SPDX-License-Identifier: Apache-2.0
import FastPath
import LinuxSystem
import TestSupport
import Testing

/// Culvert on one host or on both, a plain kernel on the other: every pairing carries
/// traffic correctly, with outer checksums on and off, over a wire of complete or of
/// partial checksums.
@Suite(.serialized, .enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
struct InteroperationTests {
  /// Tiers on host a and host b; nil is the plain kernel.
  struct Pairing: Sendable, CustomTestStringConvertible {
    var a: Tier?
    var b: Tier?
    var testDescription: String { "\(a?.rawValue ?? "kernel") to \(b?.rawValue ?? "kernel")" }
  }

  static let pairings: [Pairing] = {
    let all: [Tier?] = [nil] + Tier.allCases
    return all.flatMap { a in all.map { Pairing(a: a, b: $0) } }.filter { $0.a != nil || $0.b != nil }
  }()

  @Test(arguments: pairings, ["noudpcsum", "udpcsum"])
  func everyPairingCarriesTrafficCorrectly(pairing: Pairing, device: String) throws {
    // A host's part in the four arrangements is the same whoever is at the other end: with the kernel there, all four
    // are taken; of two tiers each device over one wire, as a device with checksums is over partial ones hardest.
    let isWithKernel = pairing.a == nil || pairing.b == nil
    let wires: [TestOverlay.Wire] =
      isWithKernel
      ? [.completeChecksums, .partialChecksums] : [device == "udpcsum" ? .partialChecksums : .completeChecksums]
    for wire in wires {
      let overlay = try TestOverlay(vxlan: device, wire: wire)
      try overlay.ping("a1", "b1")
      let services = try [("a", pairing.a), ("b", pairing.b)].compactMap { host, tier in
        try tier.map { tier in try overlay.start(host) { $0.tier = tier } }
      }
      let (a1, b1) = (overlay.containers["a1"]!, overlay.containers["b1"]!)
      for (from, to) in [("a1", "b1"), ("b1", "a1")] {
        for size in [0, 1, 56, 1421, 1422, 5000] { try overlay.ping(from, to, options: "-s \(size)") }
        let number = String(overlay.containers[to]!.number, radix: 16)
        for size in [0, 1, 1402, 5000] {
          try overlay.containers[from]!.node.shell("ping -6 -n -q -c 1 -W 2 -s \(size) 2001:2::\(number)")
        }
      }
      let bytes = 8 << 20
      #expect(try Transfer(from: a1, to: b1, bytes: bytes).finish() == .intact)
      #expect(try Transfer(from: b1, to: a1, bytes: bytes).finish() == .intact)
      for service in services {
        let stats = try service.stats()
        let uplink = try #require(stats.ports.first)
        #expect(
          uplink.forwarded["decapsulated"]?.bytes ?? 0 > UInt64(bytes),
          "\(pairing.testDescription), \(device): by the fast path")
        #expect(stats.ports.allSatisfy { ($0.notSent ?? 0) == 0 && ($0.notRedirected ?? 0) == 0 })
        try service.stop()
      }
      // Not one wrong checksum on the way.
      for node in [a1.node, b1.node] + overlay.hosts.values { #expect(try node.checksumErrors() == 0) }
    }
  }
}
