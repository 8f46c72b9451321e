// SPDX-License-Identifier: Apache-2.0

/// Bytes that both ends can make again (xorshift64*), compared in place instead of digested: a difference has
/// an offset.
struct RandomStream {
  private var state: UInt64
  private var word: UInt64 = 0
  private var left = 0

  init(seed: UInt64) { state = seed == 0 ? 0x9e37_79b9_7f4a_7c15 : seed }

  @inline(__always)
  mutating func next() -> UInt8 {
    if left == 0 {
      state ^= state >> 12
      state ^= state << 25
      state ^= state >> 27
      word = state &* 0x2545_f491_4f6c_dd1d
      left = 8
    }
    left -= 1
    defer { word >>= 8 }
    return UInt8(truncatingIfNeeded: word)
  }

  mutating func fill(_ bytes: UnsafeMutableRawBufferPointer) {
    for index in bytes.indices { bytes[index] = next() }
  }

  /// Offset of the first byte that differs.
  mutating func firstDifference(_ bytes: UnsafeRawBufferPointer) -> Int? {
    for index in bytes.indices where bytes[index] != next() { return index }
    return nil
  }
}
