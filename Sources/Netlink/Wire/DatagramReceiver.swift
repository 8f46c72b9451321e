// SPDX-License-Identifier: Apache-2.0
import CLinuxSystem
import Glibc
import LinuxSystem
import SystemPackage

/// What a call that does not wait found on a netlink socket.
public enum NetlinkReception: Sendable {
  /// Everything that was there has been read.
  case drained
  /// There is more; call again.
  case more
  /// The kernel dropped announcements (ENOBUFS): dump again.
  case overrun
}

/// Memory for many datagrams of a netlink socket, received at once and without waiting.
struct DatagramReceiver: ~Copyable {
  private let buffer: UnsafeMutableRawBufferPointer

  /// Longest message that the kernel announces: it limits its own to this.
  private static let slotBytes = 32_768
  private static let slots = Int(CULVERT_RECEIVE_SLOTS)

  init() { buffer = .allocate(byteCount: Self.slotBytes * Self.slots, alignment: 16) }

  deinit { buffer.deallocate() }

  /// Gives `body` each datagram, at most `rounds` times `CULVERT_RECEIVE_SLOTS` of them: a bound, so that a storm
  /// does not keep the caller here. A datagram that `body` refuses is a failure; later ones can still be received.
  func receive(
    from descriptor: Int32, named name: String, rounds: Int = 64,
    body: (UnsafeRawBufferPointer) throws(Failure) -> Void
  ) throws(Failure) -> NetlinkReception {
    var overrun = false
    for _ in 0..<rounds {
      var lengths = [Int](repeating: 0, count: Self.slots)
      let received = lengths.withUnsafeMutableBufferPointer {
        Int(culvert_receive_from_kernel(descriptor, buffer.baseAddress, Self.slotBytes, $0.baseAddress))
      }
      guard received >= 0 else {
        switch Errno(rawValue: Int32(-received)) {
        case .resourceTemporarilyUnavailable: return overrun ? .overrun : .drained
        case .noBufferSpace: overrun = true
        case let errno: throw Failure("receive from", name, errno: errno)
        }
        continue
      }
      var failure: Failure?
      for slot in 0..<received {
        // A message that did not fit is as lost as one that was dropped.
        guard lengths[slot] >= 0 else {
          overrun = true
          continue
        }
        let start = slot * Self.slotBytes
        do throws(Failure) {
          try body(UnsafeRawBufferPointer(rebasing: buffer[start..<start + lengths[slot]]))
        } catch {
          failure = failure ?? error
        }
      }
      if let failure { throw failure }
    }
    return overrun ? .overrun : .more
  }
}

extension NetlinkSocket {
  /// Of kernel memory for what has not yet been read.
  func setReceiveBuffer(bytes: Int32) throws(Failure) {
    do throws(Failure) {
      try set(SO_RCVBUFFORCE, level: SOL_SOCKET, to: bytes)
    } catch {
      // Without CAP_NET_ADMIN in the first user namespace: what the system's limit allows.
      try set(SO_RCVBUF, level: SOL_SOCKET, to: bytes)
    }
  }
}
