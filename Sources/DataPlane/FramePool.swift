// SPDX-License-Identifier: Apache-2.0

/// The frames that user space owns, and who has the others: a frame is always in exactly one place.
///
/// ```
///   pool ──fill──▶ kernel ──receive──▶ worker ──transmit──▶ kernel ──completion──▶ pool
/// ```
struct FramePool: ~Copyable {
  private let free: UnsafeMutablePointer<UInt32>
  private(set) var count: Int
  let capacity: Int
  private let frameShift: UInt64
  /// The queue whose rings hold the frame; meaningless for frames in the pool.
  private let holder: UnsafeMutablePointer<UInt16>
  static let nobody = UInt16.max

  init(frames: Int, frameBytes: Int) {
    capacity = frames
    count = frames
    frameShift = UInt64(frameBytes.trailingZeroBitCount)
    free = .allocate(capacity: frames)
    holder = .allocate(capacity: frames)
    // The first frames are taken first.
    for index in 0..<frames { free[index] = UInt32(frames - 1 - index) }
    holder.initialize(repeating: Self.nobody, count: frames)
  }

  deinit {
    free.deallocate()
    holder.deallocate()
  }

  /// Takes a frame for the queue; `count` must not be 0. Returns its address in the memory.
  @inline(__always)
  mutating func take(for queue: UInt16) -> UInt64 {
    count &-= 1
    let index = free[count]
    holder[Int(index)] = queue
    return UInt64(index) << frameShift
  }

  /// Any address within the frame.
  @inline(__always)
  mutating func give(back address: UInt64) {
    let index = UInt32(truncatingIfNeeded: address >> frameShift)
    holder[Int(index)] = Self.nobody
    free[count] = index
    count &+= 1
  }

  @inline(__always)
  func move(_ address: UInt64, to queue: UInt16) { holder[Int(address >> frameShift)] = queue }

  /// Takes back everything that a queue held, after its socket is closed.
  mutating func reclaim(from queue: UInt16) {
    for index in 0..<capacity where holder[index] == queue {
      holder[index] = Self.nobody
      free[count] = UInt32(index)
      count += 1
    }
  }
}
