// SPDX-License-Identifier: Apache-2.0
import CBPFObjects
import Foundation
import Synchronization
import Testing

@testable import DataPlane

struct TunnelTableTests {
  private func tunnel(_ number: UInt32) -> culvert_tunnel {
    var tunnel = culvert_tunnel()
    tunnel.valid = 1
    tunnel.local = number
    tunnel.remote = number
    return tunnel
  }

  @Test func aSnapshotLivesAsLongAsATurnThatBeganWithIt() {
    let table = TunnelTable()
    table.set(2, tunnel(7))
    table.publish()
    #expect(table.retiredCount == 0, "nobody reads")
    let held = table.beginTurn()
    #expect(held.count > 2 && held.tunnels[2].local == 7)
    table.set(2, tunnel(8))
    table.publish()
    table.set(2, tunnel(9))
    table.publish()
    #expect(table.retiredCount == 2)
    #expect(held.tunnels[2].local == 7)
    let next = table.beginTurn()
    #expect(next.tunnels[2].local == 9)
    table.publish()
    #expect(table.retiredCount == 0, "the turn that held them is over")
    table.set(2, tunnel(1))
    table.publish()
    #expect(table.retiredCount == 1)
    table.endTurn()
    table.publish()
    #expect(table.retiredCount == 0)
  }

  /// An entry that names it may be written, and a frame for it handed over, before anything is published.
  @Test func aNewTunnelIsThereBeforeItIsPublished() {
    let table = TunnelTable()
    for slot in 0..<100 {
      table.set(slot, tunnel(UInt32(slot) + 1))
      let held = table.beginTurn()
      #expect(
        held.count > slot && held.tunnels[slot].local == UInt32(slot) + 1 && held.tunnels[slot].valid == 1)
    }
    table.publish()
    let held = table.beginTurn()
    #expect((0..<100).allSatisfy { held.tunnels[$0].local == UInt32($0) + 1 })
  }

  /// What was handed over for a tunnel before its entries went is still sent.
  @Test func aTunnelThatNothingNamesStaysUntilAnotherTakesItsPlace() {
    let table = TunnelTable()
    table.set(1, tunnel(7))
    table.publish()
    let held = table.beginTurn()
    table.clear(1)
    table.publish()
    #expect(held.tunnels[1].local == 7)
    #expect(table.beginTurn().tunnels[1].local == 7)
    table.set(1, tunnel(8))
    #expect(table.beginTurn().tunnels[1].local == 8)
    // Back in use: a change waits for the worker's next look.
    let before = table.beginTurn()
    table.set(1, tunnel(9))
    #expect(before.tunnels[1].local == 8)
    table.publish()
    #expect(table.beginTurn().tunnels[1].local == 9)
  }

  @Test func nothingChangedIsNothingReplaced() {
    let table = TunnelTable()
    _ = table.beginTurn()
    for _ in 0..<10 { table.publish() }
    #expect(table.retiredCount == 0)
  }

  /// A reader that never sees a snapshot half written, nor one that was freed and written over.
  @Test func aReaderSeesWholeSnapshots() throws {
    let table = TunnelTable()
    let slots = 64
    func fill(_ number: UInt32) { for slot in 0..<slots { table.set(slot, tunnel(number)) } }
    fill(1)
    table.publish()
    let isOver = Atomic(false)
    let torn = Atomic(0)
    let turns = Atomic(0)
    let isDone = DispatchSemaphore(value: 0)
    Thread.detachNewThread {
      var last: UInt32 = 0
      while !isOver.load(ordering: .relaxed) {
        let snapshot = table.beginTurn()
        let first = snapshot.tunnels[0].local
        for slot in 0..<slots
        where snapshot.tunnels[slot].local != first || snapshot.tunnels[slot].remote != first {
          torn.add(1, ordering: .relaxed)
        }
        if first < last { torn.add(1, ordering: .relaxed) }
        last = first
        turns.add(1, ordering: .relaxed)
        if first % 7 == 0 { table.endTurn() }
      }
      table.endTurn()
      isDone.signal()
    }
    var number: UInt32 = 1
    while turns.load(ordering: .relaxed) < 20_000 || number < 2000 {
      number += 1
      fill(number)
      table.publish()
    }
    isOver.store(true, ordering: .relaxed)
    isDone.wait()
    table.publish()
    #expect(torn.load(ordering: .relaxed) == 0)
    #expect(table.retiredCount == 0)
  }
}
