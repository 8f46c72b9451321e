// SPDX-License-Identifier: Apache-2.0
import FastPath
import LinuxSystem
import TestSupport
import Testing

/// Containers whose MTU is above the VXLAN device's: TCP works by the kernel alone.
@Suite(.serialized, .enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
struct C18ContainerMTUTests {
  private func outcomes(
    _ side: Side, mtu: Int? = 1500, ipv6: Bool = false,
    _ change: (TestOverlay, FastPathService?) throws -> Void = { _, _ in }
  ) throws -> [Transfer.Outcome?] {
    let overlay = try TestOverlay(containerMTU: mtu, wire: .partialChecksums)
    try overlay.ping("a1", "b1")
    let service = try side.start(overlay)
    try overlay.ping("a1", "b1", count: 2)
    try change(overlay, service)
    let (a1, b1) = (overlay.containers["a1"]!, overlay.containers["b1"]!)
    let seen = try [(a1, b1), (b1, a1)].map {
      try Transfer(from: $0, to: $1, bytes: 2 << 20, ipv6: ipv6, patience: 3).finish()
    }
    try service?.stop()
    return seen
  }

  /// What is longer than the device's MTU and no segment any more never arrives: a port that is served with segments cut
  /// up goes before a connection begins.
  private func expectGivenBack(_ service: FastPathService?, _ mtu: Int, _ tier: Tier) throws {
    guard let service, tier != .tc, mtu > 1450 else { return }
    let isGivenBack = try eventually {
      try service.status().ports.contains { $0.reason?.contains("MTU of \(mtu)") == true }
    }
    #expect(isGivenBack)
  }

  @Test(arguments: [false, true], Tier.allCases) func aboveFromTheStart(ipv6: Bool, tier: Tier) throws {
    let kernel = try sameAsKernel(tier, ipv6) { try outcomes($0, ipv6: ipv6) }
    #expect(kernel == [.intact, .intact])
  }

  @Test(arguments: [1500, 1400], Tier.allCases) func changedWhileServed(mtu: Int, tier: Tier) throws {
    let kernel = try sameAsKernel(tier, mtu) {
      try outcomes($0, mtu: nil) { overlay, service in
        for (name, container) in overlay.containers {
          try container.node.shell("ip link set eth0 mtu \(mtu)")
          try overlay.hosts[container.host]!.shell("ip link set v\(name) mtu \(mtu)")
        }
        try expectGivenBack(service, mtu, tier)
      }
    }
    #expect(kernel == [.intact, .intact])
  }

  /// The veth drops what is longer than the container's device takes, wherever it comes from.
  @Test(arguments: Tier.allCases) func whatIsTooLongForTheContainerAloneIsDropped(tier: Tier) throws {
    let kernel = try sameAsKernel(tier) { side in
      let overlay = try TestOverlay(containers: ["a1", "a2", "b1"], ipv6: false)
      let senders = ["a2", "b1"]
      for sender in senders { try overlay.ping(sender, "a1") }
      let service = try side.start(overlay)
      let a1 = overlay.containers["a1"]!
      func answers(_ sender: String, patience: Double = 1) throws -> Int {
        try overlay.containers[sender]!.node.answers(a1.ipv4, count: 3, patience: patience, options: "-s 1300")
      }
      let before = try senders.map { try answers($0) }
      try a1.node.shell("ip link set eth0 mtu 1000")
      let isDropped = try senders.map { sender in try eventually { try answers(sender, patience: 0.3) == 0 } }
      try a1.node.shell("ip link set eth0 mtu 1450")
      let isBack = try senders.map { sender in try eventually { try answers(sender) == 3 } }
      try service?.stop()
      return "\(before) \(isDropped) \(isBack)"
    }
    #expect(kernel == "[3, 3] [true, true] [true, true]")
  }

  /// Segments alone get past a port that is narrower than its own container believes: whoever could send it some keeps
  /// them, and is served again when the port is as wide as before.
  @Test(arguments: [Tier.xdp, .afxdp]) func aPortIsNarrowerThanItsContainer(tier: Tier) throws {
    let overlay = try TestOverlay(containers: ["a1", "a2", "b1"], wire: .partialChecksums, ipv6: false)
    try overlay.ping("a1", "a2")
    let service = try overlay.start("a") { $0.tier = tier }
    for (mtu, end) in [(1300, "va1"), (1450, nil), (1300, "va1")] as [(Int, String?)] {
      try overlay.hosts["a"]!.shell("ip link set va1 mtu \(mtu)")
      let isAsItShouldBe = try eventually {
        try service.status().ports.filter { $0.role == "container" }.allSatisfy {
          end == nil ? $0.reason == nil : $0.reason?.contains("above the \(mtu) of \(end!)") == true
        }
      }
      #expect(isAsItShouldBe, "MTU \(mtu)")
      let checksum = try overlay.containers["a2"]!.node.features(of: "eth0")["tx-checksum-ip-generic"]
      #expect(checksum == (end == nil ? "off" : "on"), "MTU \(mtu)")
    }
    try service.stop()
  }

  /// A veth drops what is too long for its other end, and by redirection what is behind it in a burst: what is short is
  /// not lost with it.
  @Test(arguments: Tier.allCases) func whatIsShortIsNotLostBehindIt(tier: Tier) throws {
    let kernel = try sameAsKernel(tier) { side in
      let overlay = try TestOverlay(ipv6: false)
      try overlay.ping("b1", "a1")
      let service = try side.start(overlay)
      let (a1, b1) = (overlay.containers["a1"]!, overlay.containers["b1"]!)
      try a1.node.shell("ip link set eth0 mtu 1000")
      if let service, tier != .tc {
        let isNoticed = try eventually {
          _ = try b1.node.answers(a1.ipv4, count: 1, patience: 0.1, options: "-s 1300")
          return try service.stats().ports.contains { ($0.passed["mtu"]?.packets ?? 0) > 0 }
        }
        #expect(isNoticed)
      }
      // Sent without waiting, long and short by turns, so that they meet in bursts.
      let both = "ping -n -q -c 60 -l 60 -W 1"
      let text = try b1.node.run {
        try shell(["bash", "-c", "\(both) -w 1 -s 1300 \(a1.ipv4) > /dev/null 2>&1 & \(both) -s 100 \(a1.ipv4)"])
      }
      let short = text.contains(" 60 received")
      try service?.stop()
      return short
    }
    #expect(kernel)
  }

  /// Of one end alone: what each offers the other as its largest segment differs.
  @Test(arguments: Tier.allCases) func aboveAtOneEnd(tier: Tier) throws {
    try sameAsKernel(tier) {
      try outcomes($0, mtu: nil) { overlay, service in
        try overlay.containers["a1"]!.node.shell("ip link set eth0 mtu 1500")
        try expectGivenBack(service, 1500, tier)
      }
    }
  }
}
