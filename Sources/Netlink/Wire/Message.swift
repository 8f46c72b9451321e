// SPDX-License-Identifier: Apache-2.0
import CLibNL
import LinuxSystem
import SystemPackage

/// One message of a datagram: struct nlmsghdr and what follows it.
struct Message {
  let type: Int
  let flags: Int32
  let sequence: UInt32
  let payload: UnsafeRawBufferPointer

  static let headerBytes = 16
}

/// The messages in one datagram from the kernel, lengths checked.
struct Messages {
  private let bytes: UnsafeRawBufferPointer
  private var offset = 0

  init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  mutating func next() throws(Failure) -> Message? {
    let left = bytes.count - offset
    guard left > 0 else { return nil }
    guard left >= Message.headerBytes else { throw .malformed("\(left) bytes after the last message") }
    let length = Int(try bytes.read(UInt32.self, at: offset))
    guard length >= Message.headerBytes, length <= left else {
      throw .malformed("length \(length) of \(left)")
    }
    let message = Message(
      type: Int(try bytes.read(UInt16.self, at: offset + 4)),
      flags: Int32(try bytes.read(UInt16.self, at: offset + 6)),
      sequence: try bytes.read(UInt32.self, at: offset + 8),
      payload: UnsafeRawBufferPointer(
        rebasing: bytes[offset + Message.headerBytes..<offset + length]))
    offset += min(left, aligned(length))
    return message
  }
}

/// NLMSG_ERROR's payload, or NLMSG_DONE's, whose first word is 0 or -errno.
struct Acknowledgement {
  let errno: Errno?
  /// NLMSGERR_ATTR_MSG: what the kernel has to say about it.
  let text: String?

  init(error message: Message) throws(Failure) {
    try self.init(message, attributesAt: Self.attributesOffset(of: message))
  }

  init(done message: Message) throws(Failure) {
    // A dump may end without a status, in which case it went well.
    if message.payload.count < 4 {
      self.init(errno: nil, text: nil)
    } else {
      try self.init(message, attributesAt: 4)
    }
  }

  private init(errno: Errno?, text: String?) {
    self.errno = errno
    self.text = text
  }

  private init(_ message: Message, attributesAt offset: Int) throws(Failure) {
    let status = try message.payload.read(Int32.self, at: 0)
    guard status <= 0, status > -4096 else { throw .malformed("status \(status)") }
    var text: String?
    if message.flags & NLM_F_ACK_TLVS != 0 {
      try message.payload.attributes(after: offset).forEach { attribute throws(Failure) in
        if attribute.type == Int(NLMSGERR_ATTR_MSG.rawValue) { text = attribute.string }
      }
    }
    self.init(errno: status == 0 ? nil : Errno(rawValue: -status), text: text)
  }

  private static func attributesOffset(of message: Message) throws(Failure) -> Int {
    // The request is echoed whole behind the status unless the kernel capped it to its header.
    if message.flags & NLM_F_CAPPED != 0 { return 4 + Message.headerBytes }
    guard message.payload.count >= 4 + Message.headerBytes else { return message.payload.count }
    let echoed = Int(try message.payload.read(UInt32.self, at: 4))
    guard echoed <= message.payload.count - 4 else { return 4 + Message.headerBytes }
    return min(message.payload.count, 4 + aligned(echoed))
  }
}
