// SPDX-License-Identifier: Apache-2.0

/// How many of a worker's frames wait in the kernel to be received into. A frame that was offered comes back only with
/// a packet in it, so what idle ports hold is out of reach of busy ones: ports are offered little at first, and more
/// only while all of them together hold less than half.
struct FillShares {
  /// What a port may have whatever the others hold: a burst of the kernel's.
  static let least: UInt32 = 64
  let capacity: UInt32
  let ringSize: UInt32
  /// What the containers' ports hold together.
  var held: UInt32 = 0

  /// Of each of the uplink's sockets.
  func uplinkTarget(_ sockets: Int) -> UInt32 { share(of: capacity / 4, sockets) }
  /// Of each of the containers' sockets.
  func portTarget(_ sockets: Int) -> UInt32 { share(of: capacity / 2, sockets) }

  private func share(of frames: UInt32, _ sockets: Int) -> UInt32 {
    min(ringSize, max(1, frames / UInt32(max(1, sockets))))
  }

  /// How many frames a container's port may have now.
  @inline(__always)
  func limit(_ target: UInt32) -> UInt32 { held < capacity / 2 ? target : min(target, Self.least) }
}
