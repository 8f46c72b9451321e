// SPDX-License-Identifier: Apache-2.0
import FastPath
import TestSupport
import Testing

/// A container that gives its device another address takes nothing any more that is sent to the old one.
@Suite(.serialized, .enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
struct C21AnotherAddressTests {
  @Test(arguments: Tier.allCases) func whatIsForAnotherAddressIsNotTheContainers(tier: Tier) throws {
    let kernel = try sameAsKernel(tier) { side in
      let overlay = try TestOverlay(ipv6: false)
      try overlay.addContainer("a2")
      let a1 = overlay.containers["a1"]!
      let senders = ["a2", "b1"]
      for sender in senders {
        try overlay.containers[sender]!.node.shell(
          "ip neigh replace \(a1.ipv4) lladdr \(a1.macText) dev eth0 nud permanent")
        try overlay.ping(sender, "a1")
      }
      let service = try side.start(overlay)
      // The bridge goes on sending it there.
      try overlay.hosts["a"]!.shell("bridge fdb replace \(a1.macText) dev \(a1.port) master static")
      let before = try senders.map { try overlay.answers($0, "a1", count: 3) }
      try a1.node.shell("ip link set eth0 address 02:00:5e:00:00:aa")
      let isDeaf = try senders.map { sender in
        try eventually { try overlay.answers(sender, "a1", count: 2, patience: 0.3) == 0 }
      }
      for sender in senders {
        try overlay.containers[sender]!.node.shell(
          "ip neigh replace \(a1.ipv4) lladdr 02:00:5e:00:00:aa dev eth0 nud permanent")
      }
      // What the container sends tells the bridge.
      for sender in senders { try overlay.ping("a1", sender) }
      let after = try senders.map { try overlay.answers($0, "a1", count: 3) }
      try service?.stop()
      return "\(before) \(isDeaf) \(after)"
    }
    #expect(kernel == "[3, 3] [true, true] [3, 3]")
  }
}
