// SPDX-License-Identifier: Apache-2.0

/// How many of a worker's frames wait in the kernel to be received into. A frame that was offered comes back only with
/// a packet in it, so what an idle port holds is out of reach of busy ones: a port begins with little, and has its share of
/// half of the frames only after packets came.
struct FillShares {
  private let capacity: UInt32
  private let ringSize: UInt32
  /// What the containers' sockets hold together.
  var held: UInt32 = 0
  /// How many those are.
  var sockets: Int = 0 {
    didSet { share = min(ringSize, capacity / 2 / UInt32(max(1, sockets))) }
  }
  private var share: UInt32 = 0

  init(capacity: UInt32, ringSize: UInt32) {
    self.capacity = capacity
    self.ringSize = ringSize
  }

  /// Of each of the uplinks' sockets.
  func uplink(_ sockets: Int) -> UInt32 { min(ringSize, max(1, capacity / 4 / UInt32(max(1, sockets)))) }

  /// Of a container's socket for certain: what comes while the worker wakes up, as long as what is left would do for
  /// many more.
  static func first(ofLeft frames: Int) -> UInt32 { UInt32(min(256, frames / 32)) }
  /// With fewer it would lose what comes at once.
  static let fewest: UInt32 = 4

  /// Of a container's socket after packets came; `floor` is what it began with.
  @inline(__always)
  func limit(_ floor: UInt32) -> UInt32 { held < capacity / 2 ? max(floor, share) : floor }
}
