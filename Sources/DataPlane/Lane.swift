// SPDX-License-Identifier: Apache-2.0
import XDPSocket

/// One socket, on one queue of one device, and what the forwarder keeps beside it.
struct Lane: ~Copyable {
  var socket: XDPSocket
  /// Of the port that the device is.
  let slot: UInt32
  /// It has descriptors to show to the kernel at the end of the turn.
  var isListed = false
  /// The kernel has not yet taken everything that it was shown.
  var isBehind = false
  /// Frames that the fill ring lacks.
  var deficit: UInt32

  static let none = FramePool.nobody
}
