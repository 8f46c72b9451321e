// SPDX-License-Identifier: Apache-2.0
import Foundation

/// SplitMix64: the same sequence for the same seed.
public struct SplitMix: RandomNumberGenerator, Sendable {
  public var state: UInt64
  public init(state: UInt64) { self.state = state }
  public mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  /// By pointer: a build for debugging spends a transfer's time on an array's indices otherwise.
  mutating func fill(_ words: inout [UInt64]) {
    words.withUnsafeMutableBufferPointer { words in
      guard var word = words.baseAddress else { return }
      let end = word + words.count
      while word < end {
        word.pointee = next()
        word += 1
      }
    }
  }
}

/// The seed of tests that draw: CULVERT_TEST_SEED to repeat a failure, else another in each run. Said when it is
/// first asked for, since a test that crashes says nothing afterwards.
public let testSeed: UInt64 = {
  let given = ProcessInfo.processInfo.environment["CULVERT_TEST_SEED"].flatMap { UInt64($0) }
  let seed = given ?? .random(in: 1...UInt64.max)
  FileHandle.standardError.write(Data("tests draw from CULVERT_TEST_SEED=\(seed)\n".utf8))
  return seed
}()

/// So many bytes that `testSeed` decides: the same for the same count.
public func drawn(_ count: Int) -> [UInt8] {
  var random = SplitMix(state: testSeed &+ UInt64(count))
  return (0..<count).map { _ in .random(in: 0...255, using: &random) }
}
