// SPDX-License-Identifier: Apache-2.0
import Testing
import XDPSocket

struct RingsTests {
  /// Every descriptor once in and once out, round the rings and again.
  @Test(arguments: [1, 7, 64, 256, 2048] as [UInt32]) func everyDescriptorPasses(burst: UInt32) throws {
    let rings = try RingsInMemory()
    let round: UInt64 = (0..<2048).reduce(0) { $0 + $1 * 2048 }
    // A whole number of rounds, whatever the burst.
    #expect(rings.run(burst: burst, turns: 2048) == 2 * round * UInt64(burst))
  }
}
