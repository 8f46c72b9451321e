// SPDX-License-Identifier: Apache-2.0
import XDPSocket

/// One socket, on one queue of one device, and what the forwarder keeps beside it.
struct PortQueue: ~Copyable {
  var socket: XDPSocket
  /// Of the port that the device is.
  let slot: UInt32
  let isUplink: Bool
  /// Frames for its device may leave by redirection.
  var isRedirectTarget = false
  /// What the kernel was not shown, or has not sent, goes first.
  var mayRedirect: Bool {
    @inline(__always) get { isRedirectTarget && !isListed && !isBehind }
  }
  /// It has descriptors to show to the kernel at the end of the turn.
  var isListed = false
  /// The kernel has not yet taken everything that it was shown.
  var isBehind = false
  /// Frames that the kernel has to receive into, and how many it should have at least.
  var offered: UInt32 = 0
  var floor: UInt32 = 0

  init(socket: consuming XDPSocket, slot: UInt32, isUplink: Bool) {
    self.socket = socket
    self.slot = slot
    self.isUplink = isUplink
  }

  static let none = FramePool.nobody
}
