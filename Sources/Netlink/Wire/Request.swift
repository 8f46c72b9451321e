// SPDX-License-Identifier: Apache-2.0
import CLibNL
import LinuxSystem
import PacketHeaders

/// A message to the kernel under construction: a libnl message, owned.
struct Request: ~Copyable {
  let message: OpaquePointer
  /// A full buffer makes every later call fail; told once, when it is sent.
  private(set) var isComplete = true

  init(_ type: Int, flags: Int32 = 0, capacity: Int = 16_384) throws(Failure) {
    guard let message = nlmsg_alloc_size(capacity) else {
      throw Failure("allocate", "a netlink message", errno: .noMemory)
    }
    guard nlmsg_put(message, 0, 0, Int32(type), 0, flags | NLM_F_REQUEST) != nil else {
      nlmsg_free(message)
      throw Failure("allocate", "a netlink message", errno: .noMemory)
    }
    self.message = message
  }

  deinit { nlmsg_free(message) }

  /// The family's fixed header: ifinfomsg, ndmsg, rtmsg …
  mutating func append<T: BitwiseCopyable>(header: T) {
    withUnsafeBytes(of: header) { bytes in
      note(nlmsg_append(message, UnsafeMutableRawPointer(mutating: bytes.baseAddress), bytes.count, 4))
    }
  }

  mutating func put(_ type: Int, bytes: [UInt8]) {
    bytes.withUnsafeBytes { note(nla_put(message, Int32(type), Int32($0.count), $0.baseAddress)) }
  }

  mutating func put<T: FixedWidthInteger>(_ type: Int, _ value: T) {
    withUnsafeBytes(of: value) { note(nla_put(message, Int32(type), Int32($0.count), $0.baseAddress)) }
  }

  mutating func put(_ type: Int, _ value: Bool) { put(type, UInt8(value ? 1 : 0)) }

  /// NUL-terminated.
  mutating func put(_ type: Int, string: String) { note(nla_put_string(message, Int32(type), string)) }

  mutating func put(_ type: Int, _ address: MACAddress) { put(type, bytes: address.octets) }

  mutating func put(_ type: Int, _ address: IPAddress) { put(type, bytes: address.octets) }

  /// An attribute that holds what `body` puts.
  mutating func nest(_ type: Int, _ body: (inout Request) throws(Failure) -> Void) throws(Failure) {
    guard let start = nla_nest_start(message, Int32(type)) else {
      isComplete = false
      return
    }
    try body(&self)
    note(nla_nest_end(message, start))
  }

  private mutating func note(_ status: Int32) { if status < 0 { isComplete = false } }

  /// The message as it will be sent, sequence and port yet unset.
  var bytes: [UInt8] {
    let header = nlmsg_hdr(message)!
    return Array(UnsafeRawBufferPointer(start: header, count: Int(header.pointee.nlmsg_len)))
  }
}
