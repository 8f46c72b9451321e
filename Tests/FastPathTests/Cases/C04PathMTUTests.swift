// SPDX-License-Identifier: Apache-2.0
import FastPath
import LinuxSystem
import TestSupport
import Testing

/// A router on the underlay's way begins to carry less: the kernel learns it from ICMP, which nobody announces.
@Suite(.serialized, .enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
struct C04PathMTUTests {
  struct Seen: Equatable {
    var isTold: Bool
    var outcome: Transfer.Outcome?
  }

  private func shrunk(_ side: Side, ipv6: Bool, df: String = "set") throws -> Seen {
    let overlay = try TestOverlay(vxlan: "noudpcsum df \(df)", routed: true)
    try overlay.ping("a1", "b1")
    let service = try side.start(overlay)
    try overlay.ping("a1", "b1", count: 3)
    try overlay.router!.shell("ip link set dev b mtu 1400")
    try overlay.hosts["b"]!.shell("ip link set eth0 mtu 1400")
    let (a1, b1) = (overlay.containers["a1"]!, overlay.containers["b1"]!)
    let isTold = try eventually(4) {
      let text = try a1.node.output(
        "ping \(ipv6 ? "-6" : "-4") -n -M do -s 1395 -c 1 -W 1 \(ipv6 ? b1.ipv6 : b1.ipv4)")
      return text.contains("mtu = 1350") || text.contains("mtu=1350") || text.contains("mtu 1350")
    }
    let transfer = try Transfer(from: a1, to: b1, bytes: 4 << 20, ipv6: ipv6, patience: 4)
    let seen = Seen(isTold: isTold, outcome: transfer.finish())
    try service?.stop()
    return seen
  }

  @Test(arguments: [false, true], Tier.allCases) func theContainerIsToldAndTCPGoesOn(ipv6: Bool, tier: Tier)
    throws
  {
    let kernel = try sameAsKernel(tier, ipv6) { try shrunk($0, ipv6: ipv6) }
    #expect(kernel == Seen(isTold: true, outcome: .intact))
  }

  @Test(arguments: Tier.allCases) func alsoWhereTheContainerAsksNotToFragment(tier: Tier) throws {
    try sameAsKernel(tier) { try shrunk($0, ipv6: false, df: "inherit") }
  }

  /// What is on its way when the path shrinks goes on, too.
  @Test(arguments: Tier.allCases) func aConnectionThatRunsSurvives(tier: Tier) throws {
    let kernel = try sameAsKernel(tier) { side in
      let overlay = try TestOverlay(vxlan: "noudpcsum df set", ipv6: false, routed: true)
      try overlay.ping("a1", "b1")
      let service = try side.start(overlay)
      let transfer = try Transfer(
        from: overlay.containers["a1"]!, to: overlay.containers["b1"]!, seconds: 8, patience: 5)
      #expect(transfer.progress(atLeast: 4 << 20))
      try overlay.router!.shell("ip link set dev b mtu 1400")
      try overlay.hosts["b"]!.shell("ip link set eth0 mtu 1400")
      let before = transfer.bytes
      let goesOn = transfer.progress(atLeast: before + 8 << 20, within: 4)
      transfer.end()
      let outcome = transfer.finish()
      try service?.stop()
      return [goesOn, outcome == .intact]
    }
    #expect(kernel == [true, true])
  }
}
