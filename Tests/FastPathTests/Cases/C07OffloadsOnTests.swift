// SPDX-License-Identifier: Apache-2.0
import FastPath
import LinuxSystem
import TestSupport
import Testing

/// A container changes its interface while it is served: what it sends arrives whole.
@Suite(.serialized, .enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
struct C07OffloadsOnTests {
  struct Seen: Equatable {
    var outcome: Transfer.Outcome?
    var checksumErrors: Int
  }

  private func seen(_ side: Side, ipv6: Bool = false, _ change: (TestNode) throws -> Void) throws -> Seen {
    let overlay = try TestOverlay()
    try overlay.ping("a1", "b1")
    let service = try side.start(overlay)
    try overlay.ping("a1", "b1", count: 2)
    let (a1, b1) = (overlay.containers["a1"]!, overlay.containers["b1"]!)
    try change(a1.node)
    // Until it is seen what became of it, which the kernel announces, or which is looked for each second.
    let isReached = try eventually(5) { try a1.node.answers(b1.ipv4, count: 1) == 1 }
    #expect(isReached)
    let outcome = try eventuallyIntact(a1, b1, ipv6)
    let before = try b1.node.checksumErrors()
    _ = try Transfer(from: a1, to: b1, bytes: 4 << 20, ipv6: ipv6, patience: 4).finish()
    let errors = try b1.node.checksumErrors() - before
    try service?.stop()
    return Seen(outcome: outcome, checksumErrors: errors)
  }

  /// A container's change may cost segments until it is noticed; none after that.
  private func eventuallyIntact(
    _ from: TestOverlay.Container, _ to: TestOverlay.Container, _ ipv6: Bool
  ) throws -> Transfer.Outcome? {
    try Transfer(from: from, to: to, bytes: 4 << 20, ipv6: ipv6, patience: 6).finish()
  }

  @Test(arguments: Tier.allCases) func renamedAndOffloadsOn(tier: Tier) throws {
    let kernel = try sameAsKernel(tier) {
      try seen($0) { node in
        try node.shell("ip link set eth0 down")
        try node.shell("ip link set eth0 name net1")
        try node.shell("ip link set net1 up")
        _ = try node.output("ip addr add 198.19.0.1/16 dev net1")
        try node.shell("ip neigh replace 198.19.0.101 lladdr 02:00:5e:00:0b:65 dev net1 nud permanent")
        try node.shell("ethtool -K net1 tx on")
      }
    }
    #expect(kernel == Seen(outcome: .intact, checksumErrors: 0))
  }

  @Test(arguments: ["tx on", "tx on tso on gso on", "tx off sg off", "tso off gso off"], Tier.allCases)
  func offloadsChanged(words: String, tier: Tier) throws {
    let seen = try seen(.tier(tier), ipv6: words.contains("gso on")) {
      _ = try $0.output("ethtool -K eth0 \(words)")
    }
    #expect(seen == Seen(outcome: .intact, checksumErrors: 0))
  }
}
