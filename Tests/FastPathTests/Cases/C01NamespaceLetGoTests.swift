// SPDX-License-Identifier: Apache-2.0
import FastPath
import Glibc
import LinuxSystem
import TestSupport
import Testing

/// Nothing of Culvert's keeps a namespace or an interface alive that its owner let go.
@Suite(.serialized, .enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
struct C01NamespaceLetGoTests {
  struct Seen: Equatable {
    var portIsGone: Bool
    var answers: Int
  }

  /// What is left of a1 once its namespace was deleted.
  private func seen(_ overlay: TestOverlay) throws -> Seen {
    let a1 = overlay.containers["a1"]!
    let (address, port) = (a1.ipv4, a1.port)
    overlay.removeContainer("a1")
    let isGone = try eventually(4) { try !overlay.hosts["a"]!.has(port) }
    return Seen(portIsGone: isGone, answers: try overlay.containers["b1"]!.node.answers(address, count: 3, patience: 0.3))
  }

  @Test(arguments: Tier.allCases) func aDeletedContainersVethGoesAndNobodyAnswers(tier: Tier) throws {
    let kernel = try sameAsKernel(tier) { side in
      let overlay = try TestOverlay(ipv6: false)
      try overlay.ping("a1", "b1")
      let service = try side.start(overlay)
      #expect(try overlay.answers("b1", "a1", count: 3) == 3)
      let seen = try seen(overlay)
      try service?.stop()
      return seen
    }
    #expect(kernel == Seen(portIsGone: true, answers: 0))
  }

  /// Who does not run cannot close anything either.
  @Test(arguments: Tier.allCases) func alsoWhileTheProcessIsStopped(tier: Tier) throws {
    let overlay = try TestOverlay(ipv6: false)
    try overlay.ping("a1", "b1")
    let path = overlay.hosts["a"]!.path
    let culvert = try DeathTests.culvert
    try shell(culvert, "up", "--overlay", "br0", "--netns", path, "--tier", tier.rawValue, "--detach")
    let pid = try #require(try DeathTests().status(overlay, "a").first).pid
    kill(pid, SIGSTOP)
    defer {
      kill(pid, SIGCONT)
      _ = try? shell(culvert, "down", "--netns", path)
    }
    #expect(try seen(overlay) == Seen(portIsGone: true, answers: 0))
  }

  /// The pair's far end goes into another container, which the kernel serves as it did the first.
  @Test(arguments: Tier.allCases) func anInterfaceThatMovesToAnotherContainerIsServedThere(tier: Tier) throws
  {
    let kernel = try sameAsKernel(tier) { side in
      let overlay = try TestOverlay(ipv6: false)
      try overlay.ping("a1", "b1")
      let (a1, b1) = (overlay.containers["a1"]!, overlay.containers["b1"]!)
      let other = try TestNode()
      let before = try a1.node.features(of: "eth0")
      let service = try side.start(overlay)
      try a1.node.shell("ip link set eth0 netns \(other.path)")
      try other.shell("ip link set eth0 up")
      try other.shell("ip addr add \(a1.ipv4)/16 dev eth0")
      try other.shell("ip neigh replace \(b1.ipv4) lladdr \(b1.macText) dev eth0 nud permanent")
      try overlay.hosts["a"]!.shell("ip link set va1 up")
      _ = try other.answers(b1.ipv4, count: 2)
      let answers = try other.answers(b1.ipv4, count: 5)
      let transfer = try Transfer(from: b1.node, to: other, address: a1.ipv4, bytes: 2 << 20, patience: 5)
        .finish()
      try service?.stop()
      let after = try other.features(of: "eth0")
      return [answers == 5, transfer == .intact, after == before]
    }
    #expect(kernel == [true, true, true])
  }

  /// The far end in the host's own namespace, where a redirect to the peer has nowhere to go.
  @Test(arguments: Tier.allCases) func anInterfaceThatMovesIntoTheHostIsServedThere(tier: Tier) throws {
    let kernel = try sameAsKernel(tier) { side in
      let overlay = try TestOverlay(ipv6: false)
      try overlay.ping("a1", "b1")
      let (a1, b1) = (overlay.containers["a1"]!, overlay.containers["b1"]!)
      let host = overlay.hosts["a"]!
      let service = try side.start(overlay)
      try a1.node.shell("ip link set eth0 down")
      try a1.node.shell("ip link set eth0 name inside")
      try a1.node.shell("ip link set inside netns \(host.path)")
      try host.shell("ip link set inside up")
      try host.shell("ip addr add \(a1.ipv4)/16 dev inside")
      try host.shell("ip neigh replace \(b1.ipv4) lladdr \(b1.macText) dev inside nud permanent")
      try host.shell("ip link set va1 up")
      _ = try host.answers(b1.ipv4, count: 2)
      let answers = try host.answers(b1.ipv4, count: 5)
      try service?.stop()
      return answers
    }
    #expect(kernel == 5)
  }

  /// Docker's: the namespace of bridge and VXLAN device goes, and nobody behind it answers any more.
  @Test(arguments: [Tier.xdp, .afxdp]) func anOverlaysNamespaceGoesWithItsOwner(tier: Tier) throws {
    func seen(_ side: Side) throws -> [Bool] {
      let overlay = try TestOverlay(ipv6: false, layout: .split)
      try overlay.ping("a1", "b1")
      let service = try side.start(overlay)
      #expect(try overlay.answers("b1", "a1", count: 3) == 3)
      overlay.hosts["a"]!.namespace.remove()
      // Its devices go with it, and so does the far end of each container's pair.
      let isGone = try eventually(5) { try !overlay.containers["a1"]!.node.has("eth0") }
      let answers = try overlay.answers("b1", "a1", count: 3, patience: 0.3)
      _ = try? service?.stop()
      return [isGone, answers == 0]
    }
    #expect(try seen(.kernel) == [true, true])
    let ours = try seen(.tier(tier))
    #expect(ours == [true, true])
  }
}
