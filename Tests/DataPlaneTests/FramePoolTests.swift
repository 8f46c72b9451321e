// SPDX-License-Identifier: Apache-2.0
import TestSupport
import Testing

@testable import DataPlane

struct FramePoolTests {
  @Test func everyFrameIsInOnePlace() {
    var pool = FramePool(frames: 64, frameBytes: 2048)
    var generator = SplitMix(state: testSeed)
    var out: [(address: UInt64, queue: UInt16)] = []
    for _ in 0..<20_000 {
      switch UInt8.random(in: 0..<16, using: &generator) {
      case 0..<8 where pool.count > 0:
        let queue = UInt16.random(in: 0..<3, using: &generator)
        out.append((pool.take(for: queue), queue))
      case 8..<14 where !out.isEmpty:
        // The kernel returns any address within the frame.
        let one = out.remove(at: .random(in: out.indices, using: &generator))
        pool.give(back: one.address + .random(in: 0..<2048, using: &generator))
      case 14 where !out.isEmpty:
        let index = out.indices.randomElement(using: &generator)!
        out[index].queue = .random(in: 0..<3, using: &generator)
        pool.move(out[index].address, to: out[index].queue)
      case 15:
        let queue = UInt16.random(in: 0..<3, using: &generator)
        pool.reclaim(from: queue)
        out.removeAll { $0.queue == queue }
      default: break
      }
      #expect(pool.count + out.count == 64)
      #expect(Set(out.map(\.address)).count == out.count)
    }
  }
}
