// SPDX-License-Identifier: Apache-2.0
import XDPSocket

/// One socket, on one queue of one device, and what the forwarder keeps beside it.
struct PortQueue: ~Copyable {
  var socket: XDPSocket
  /// nil: programs forward nothing by themselves.
  let state: ReceiveQueue?
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

  /// Frames taken from the kernel, and those that it could not hand over.
  var received: UInt64 = 0
  var dropped: UInt64 = 0

  init(socket: consuming XDPSocket, state: ReceiveQueue?, slot: UInt32, isUplink: Bool) {
    self.socket = socket
    self.state = state
    self.slot = slot
    self.isUplink = isUplink
  }

  /// All that was received is sent, or lost: the program may forward what comes next by itself. What the kernel could
  /// not hand over is asked for where the counts differ.
  mutating func publishDone() {
    guard let state else { return }
    if state.handed.pointee.load(ordering: .relaxed) != received &+ dropped,
      let statistics = try? socket.statistics()
    {
      dropped = statistics.receiveDropped
    }
    if state.done.pointee.load(ordering: .relaxed) != received &+ dropped {
      state.done.pointee.store(received &+ dropped, ordering: .releasing)
    }
  }

  static let none = FramePool.nobody
}
