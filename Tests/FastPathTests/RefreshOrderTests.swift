// SPDX-License-Identifier: Apache-2.0
import FastPath
import LinuxSystem
import TestSupport
import Testing

/// Now and then one packet of a source goes by the kernel, so that its entries do not age; its neighbours may
/// overtake it. Paced far below what the way carries, a stream loses nothing: what is sent again for the
/// acknowledgements of others was only late.
@Suite(.serialized, .enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
struct RefreshOrderTests {
  @Test(arguments: Tier.allCases) func aRefreshCostsTCPNoRetransmission(tier: Tier) throws {
    let overlay = try TestOverlay(ageing: 1, ipv6: false)
    try overlay.ping("a1", "b1")
    let services = try ["a", "b"].map { host in try overlay.start(host) { $0.tier = tier } }
    try overlay.ping("a1", "b1", count: 2)
    let (a1, b1) = (overlay.containers["a1"]!, overlay.containers["b1"]!)
    func counts() throws -> (again: Int, late: Int) {
      (try a1.node.counter("TcpRetransSegs"), try b1.node.counter("TcpExtTCPOFOQueue"))
    }
    let before = try counts()
    let transfer = try Transfer(from: a1, to: b1, seconds: 4, pacing: 25_000_000)
    #expect(transfer.finish() == .intact)
    let after = try counts()
    let port = try #require(try services[0].stats().ports.first { $0.name == "va1" })
    let refreshed = port.passed["refresh"]?.packets ?? 0
    #expect(refreshed >= 8, "about three a second")
    #expect(
      after.again == before.again,
      "\(after.again - before.again) segments sent again, \(after.late - before.late) out of order, \(refreshed) refreshes"
    )
    for service in services { try service.stop() }
  }
}
