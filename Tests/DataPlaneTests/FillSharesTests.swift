// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import DataPlane

struct FillSharesTests {
  /// As the forwarder deals them out, with the uplink there first and ports that become busy as soon as they come.
  private func deal(ports: Int, frames: Int) -> (held: [UInt32], left: Int) {
    var shares = FillShares(capacity: UInt32(frames), ringSize: 2048)
    var left = frames - Int(shares.uplink(1))
    var held: [UInt32] = []
    for number in 0..<ports {
      shares.sockets = number + 1
      let first = FillShares.first(ofLeft: left)
      guard first >= FillShares.fewest else { break }
      let all = min(max(first, shares.limit(first)), UInt32(left))
      held.append(all)
      shares.held += all
      left -= Int(all)
    }
    return (held, left)
  }

  @Test(arguments: [1, 2, 10, 64, 90]) func earlyBusyPortsLeaveEnoughForLaterOnes(ports: Int) {
    let (held, left) = deal(ports: ports, frames: 8192)
    #expect(held.count == ports)
    #expect(held.allSatisfy { $0 >= FillShares.fewest })
    #expect(held[0] == 2048)
    #expect(left > 0)
  }

  @Test func whereNothingIsLeftNoPortIsTaken() {
    let (held, left) = deal(ports: 1000, frames: 512)
    #expect(held.count < 1000)
    #expect(left >= 0)
    #expect(FillShares.first(ofLeft: left) < FillShares.fewest)
  }

  @Test func theUplinksSocketsShareAQuarter() {
    let shares = FillShares(capacity: 8192, ringSize: 2048)
    #expect(shares.uplink(1) == 2048)
    #expect(shares.uplink(4) == 512)
    #expect(FillShares(capacity: 65536, ringSize: 2048).uplink(1) == 2048)
  }
}
