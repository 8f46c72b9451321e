// SPDX-License-Identifier: Apache-2.0
import FastPath
import LinuxSystem
import TestSupport
import Testing

/// Containers whose MTU is above the VXLAN device's: TCP works by the kernel alone.
@Suite(.serialized, .enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
struct C18ContainerMTUTests {
  static let case18: Comment = "case 18: segments above the device's MTU are not cut up for it"

  private func outcomes(
    _ side: Side, mtu: Int? = 1500, ipv6: Bool = false, _ change: (TestOverlay) throws -> Void = { _ in }
  ) throws -> [Transfer.Outcome?] {
    let overlay = try TestOverlay(containerMTU: mtu, wire: .partialChecksums)
    try overlay.ping("a1", "b1")
    let service = try side.start(overlay)
    try overlay.ping("a1", "b1", count: 2)
    try change(overlay)
    let (a1, b1) = (overlay.containers["a1"]!, overlay.containers["b1"]!)
    let seen = try [(a1, b1), (b1, a1)].map {
      try Transfer(from: $0, to: $1, bytes: 2 << 20, ipv6: ipv6, patience: 3).finish()
    }
    try service?.stop()
    return seen
  }

  @Test(arguments: [false, true], Tier.allCases) func aboveFromTheStart(ipv6: Bool, tier: Tier) throws {
    try known(Self.case18, in: [.xdp, .afxdp], tier) {
      let kernel = try sameAsKernel(tier) { try outcomes($0, ipv6: ipv6) }
      #expect(kernel == [.intact, .intact])
    }
  }

  @Test(arguments: [1500, 1400], Tier.allCases) func changedWhileServed(mtu: Int, tier: Tier) throws {
    try known(Self.case18, in: mtu > 1450 ? [.xdp, .afxdp] : [], tier) {
      let kernel = try sameAsKernel(tier) {
        try outcomes($0, mtu: nil) { overlay in
          for (name, container) in overlay.containers {
            try container.node.shell("ip link set eth0 mtu \(mtu)")
            try overlay.hosts[container.host]!.shell("ip link set v\(name) mtu \(mtu)")
          }
        }
      }
      #expect(kernel == [.intact, .intact])
    }
  }

  /// Of one end alone: what each offers the other as its largest segment differs.
  @Test(arguments: Tier.allCases) func aboveAtOneEnd(tier: Tier) throws {
    try known(Self.case18, in: [.xdp, .afxdp], tier) {
      try sameAsKernel(tier) {
        try outcomes($0, mtu: nil) { try $0.containers["a1"]!.node.shell("ip link set eth0 mtu 1500") }
      }
    }
  }
}
