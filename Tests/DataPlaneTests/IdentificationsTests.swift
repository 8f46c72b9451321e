// SPDX-License-Identifier: Apache-2.0
import CBPFObjects
import Testing

@testable import DataPlane

/// Outer IPv4 identifications: what a receiver merges by, and what reassembly tells fragments by.
struct IdentificationsTests {
  private static let block = Int(CULVERT_ID_BLOCK)

  @Test func theyGoUpByOneWithinAFlowAndAreNobodyElsesMeanwhile() {
    let identifications = Identifications(IdentificationBlocks())
    var last: [UInt32: UInt16] = [:]
    var breaks: [UInt32: Int] = [:]
    var used: Set<UInt16> = []
    let flows = 40
    let packets = 3 * Self.block
    for turn in 0..<packets {
      // Several flows at once, in an order that changes.
      for flow in 0..<UInt32(flows) {
        let hash = flow &* 5 &+ 3
        if turn % 3 == 1 && flow % 2 == 0 { continue }
        let number = identifications.next(hash: hash)
        if let before = last[hash], number != before &+ 1 { breaks[hash, default: 0] += 1 }
        last[hash] = number
        #expect(used.insert(number).inserted, "used already")
      }
    }
    #expect(last.count == flows)
    for (flow, count) in breaks { #expect(count <= packets / Self.block, "flow \(flow)") }
  }

  @Test func workersNeverShareANumber() {
    let blocks = IdentificationBlocks()
    let one = Identifications(blocks)
    let other = Identifications(blocks)
    var used: Set<UInt16> = []
    for _ in 0..<4 * Self.block {
      for hash in UInt32(0)..<8 {
        #expect(used.insert(one.next(hash: hash)).inserted)
        #expect(used.insert(other.next(hash: hash)).inserted)
      }
    }
  }

  /// A number comes back only after nearly all others.
  @Test func theyComeRoundLate() {
    let identifications = Identifications(IdentificationBlocks())
    var seen: [UInt16: Int] = [:]
    for turn in 0..<200_000 {
      let number = identifications.next(hash: UInt32(turn % 7))
      if let before = seen[number] { #expect(turn - before > 60_000) }
      seen[number] = turn
    }
    #expect(seen.count == 65_536)
  }
}
