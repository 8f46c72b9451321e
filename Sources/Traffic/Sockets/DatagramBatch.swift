// SPDX-License-Identifier: Apache-2.0
import CLinuxSystem
import LinuxSystem
import SystemPackage

/// Buffers for sendmmsg(2) and recvmmsg(2), made once and used again.
struct DatagramBatch: ~Copyable {
  /// Messages, and bytes of each.
  let count: Int
  let size: Int
  private let handle: OpaquePointer

  init(count: Int, size: Int) throws(Failure) {
    guard let handle = culvert_datagrams_make(UInt32(count), size) else {
      throw Failure("allocate", "\(count) datagrams of \(size) bytes", errno: .noMemory)
    }
    self.handle = handle
    self.count = count
    self.size = size
  }

  deinit { culvert_datagrams_free(handle) }

  /// The first eight bytes number the datagram, which is a message or, with UDP_SEGMENT, begins at `offset` in one.
  @inline(__always)
  func setSequence(_ index: Int, offset: Int = 0, _ value: UInt64) {
    UnsafeMutableRawPointer(culvert_datagrams_payload(handle, UInt32(index))!)
      .storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt64.self)
  }

  @inline(__always)
  func sequence(_ index: Int) -> UInt64 {
    let bytes = UnsafeRawPointer(culvert_datagrams_payload(handle, UInt32(index))!)
    return UInt64(bigEndian: bytes.loadUnaligned(as: UInt64.self))
  }

  @inline(__always)
  func length(_ index: Int) -> Int { Int(culvert_datagrams_length(handle, UInt32(index))) }

  /// Datagrams sent, or -errno.
  @inline(__always)
  func send(_ count: Int, on socket: Int32) -> Int {
    Int(culvert_datagrams_send(handle, socket, UInt32(count)))
  }

  /// Datagrams received, or -errno; waits for the first as long as SO_RCVTIMEO says.
  @inline(__always)
  func receive(on socket: Int32) -> Int { Int(culvert_datagrams_receive(handle, socket)) }
}
