// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import CBPFObjects
import LinuxSystem
import PacketHeaders
import TestSupport
import Testing

/// The outer identification goes up by one from packet to packet of a flow, or a receiver's GRO merges nothing, and
/// is not given to two flows at once, or their fragments would be mixed up (RFC 6864).
@Suite(.enabled(if: mayUseKernel, .init(rawValue: needsRoot)))
struct IdentificationTests {
  private static let flows = 12
  private static let block = Int(CULVERT_ID_BLOCK)

  private static func frame(_ flow: Int, v6: Bool) -> [UInt8] {
    let datagram = Frames.tcp([1, 2, 3], from: UInt16(2000 + flow), to: 80)
    return v6 ? Frames.v6(datagram) : Frames.v4(datagram)
  }

  @Test(arguments: [Family.xdp, .tc], [false, true])
  func followsTheFlow(family: Family, v6: Bool) throws {
    // Two blocks of each flow are begun and ended.
    let rounds = 300
    let ids = try Fixture.run(family) { fixture in
      try CPU.pin(to: 0)
      return try (0..<rounds).map { _ in
        try (0..<Self.flows).map { flow in
          let sent = try fixture.run(.port, Self.frame(flow, v6: v6))
          #expect(sent.verdict == CULVERT_FORWARDED_ENCAP.rawValue)
          return try #require(IPv4Header(sent.data, at: 14)).identification
        }
      }
    }
    let broken = (0..<Self.flows).filter { flow in
      let mine = ids.map { $0[flow] }
      return zip(mine, mine.dropFirst()).count { $1 != $0 &+ 1 } > rounds / Self.block + 1
    }
    // By the hash that the kernel draws at boot, two flows meet in one of 512 places now and then: two pairs may.
    #expect(broken.count <= 4, "flows \(broken)")
    #expect(Set(ids.joined()).count == rounds * Self.flows)
  }
}
