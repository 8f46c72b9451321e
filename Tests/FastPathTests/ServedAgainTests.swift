// SPDX-License-Identifier: Apache-2.0
import FastPath
import LinuxSystem
import TestSupport
import Testing

/// That a program is detached the kernel announces to nobody: a port whose link was announced meanwhile is no other's.
@Suite(.serialized, .enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
struct ServedAgainTests {
  @Test(arguments: Tier.allCases) func afterAReasonThatCameAndWent(tier: Tier) throws {
    let overlay = try TestOverlay(ipv6: false)
    try overlay.ping("a1", "b1")
    let service = try overlay.start("a") { $0.tier = tier }
    let host = overlay.hosts["a"]!
    func isServed() throws -> Bool { try service.status().ports.allSatisfy { $0.reason == nil } }
    // Announced with the program on it.
    try host.shell("ip link set va1 alias served")
    try host.run { try shell("nft", "add table bridge t; add chain bridge t c { type filter hook forward priority 0; policy drop; }") }
    let isLeft = try eventually { try !isServed() }
    #expect(isLeft)
    try host.run { try shell("nft", "delete table bridge t") }
    let isServedAgain = try eventually { try isServed() }
    #expect(isServedAgain)
    try service.stop()
  }
}
