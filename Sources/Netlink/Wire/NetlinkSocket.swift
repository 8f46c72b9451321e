// SPDX-License-Identifier: Apache-2.0
import CLibNL
import Glibc
import LinuxSystem
import SystemPackage

/// A libnl socket, connected in the calling thread's namespace. One request at a time.
struct NetlinkSocket: ~Copyable {
  private let socket: OpaquePointer
  private let name: String

  /// `protocolNumber`: NETLINK_ROUTE, NETLINK_GENERIC.
  init(protocolNumber: Int32, name: String) throws(Failure) {
    self.socket = try Self.connect(protocolNumber, name)
    self.name = name
  }

  private static func connect(_ protocolNumber: Int32, _ name: String) throws(Failure) -> OpaquePointer {
    guard let socket = nl_socket_alloc() else {
      throw Failure("allocate", "a \(name) socket", errno: .noMemory)
    }
    do throws(Failure) {
      guard nl_connect(socket, protocolNumber) == 0 else {
        throw Failure("connect", "a \(name) socket", errno: .last)
      }
      // Requests ask for their acknowledgement themselves.
      nl_socket_disable_auto_ack(socket)
      nl_socket_disable_msg_peek(socket)
      nl_socket_set_msg_buf_size(socket, 1 << 16)
      for option in [NETLINK_EXT_ACK, NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK] {
        try setOption(of: nl_socket_get_fd(socket), option, name: name)
      }
    } catch {
      nl_socket_free(socket)
      throw error
    }
    return socket
  }

  deinit { nl_socket_free(socket) }

  var descriptor: Int32 { nl_socket_get_fd(socket) }

  func set(_ option: Int32, level: Int32 = SOL_NETLINK, to value: Int32 = 1) throws(Failure) {
    try Self.setOption(of: descriptor, option, level: level, to: value, name: name)
  }

  private static func setOption(
    of descriptor: Int32, _ option: Int32, level: Int32 = SOL_NETLINK, to value: Int32 = 1, name: String
  ) throws(Failure) {
    var value = value
    guard setsockopt(descriptor, level, option, &value, socklen_t(MemoryLayout<Int32>.size)) == 0 else {
      throw Failure("set option \(option) of", "a \(name) socket", errno: .last)
    }
  }

  func join(_ group: rtnetlink_groups) throws(Failure) {
    try set(NETLINK_ADD_MEMBERSHIP, to: Int32(group.rawValue))
  }

  /// Sends a request and reads answers until the kernel acknowledges it.
  /// `operation` and `subject` name it in a failure.
  func transact(
    _ request: borrowing Request, _ operation: String, _ subject: String,
    answer: (Message) throws(Failure) -> Void = { (_) throws(Failure) in }
  ) throws(Failure) {
    let sequence = try send(request, extraFlags: NLM_F_ACK, operation, subject)
    var done = false
    var outcome = Outcome()
    while !done {
      try receive(operation, subject) { message in
        guard message.sequence == sequence, !done else { return }
        outcome.note { () throws(Failure) in
          if message.type == Int(NLMSG_ERROR) {
            done = true
            try Acknowledgement(error: message).check(operation, subject)
          } else {
            try answer(message)
          }
        }
      }
    }
    try outcome.check()
  }

  /// Dumps; where the kernel says that tables changed meanwhile, `reset` is called
  /// and the dump begins again.
  func dump(
    _ request: borrowing Request, _ operation: String, _ subject: String,
    reset: () -> Void, entry: (Message) throws(Failure) -> Void
  ) throws(Failure) {
    for _ in 0..<64 {
      reset()
      if try dumpOnce(request, operation, subject, entry: entry) { return }
    }
    throw Failure(
      operation, subject, errno: .resourceTemporarilyUnavailable,
      advice: "The kernel's table changed during each of 64 attempts; try again when it is quieter.")
  }

  /// False where the dump was interrupted.
  private func dumpOnce(
    _ request: borrowing Request, _ operation: String, _ subject: String,
    entry: (Message) throws(Failure) -> Void
  ) throws(Failure) -> Bool {
    let sequence = try send(request, extraFlags: NLM_F_DUMP, operation, subject)
    var done = false
    var interrupted = false
    var outcome = Outcome()
    while !done {
      try receive(operation, subject) { message in
        guard message.sequence == sequence, !done else { return }
        if message.flags & NLM_F_DUMP_INTR != 0 { interrupted = true }
        outcome.note { () throws(Failure) in
          if message.type == Int(NLMSG_DONE) {
            done = true
            try Acknowledgement(done: message).check(operation, subject)
          } else if message.type == Int(NLMSG_ERROR) {
            done = true
            try Acknowledgement(error: message).check(operation, subject)
          } else if !interrupted {
            try entry(message)
          }
        }
      }
    }
    try outcome.check()
    return !interrupted
  }

  /// Returns the sequence number that the answers will have.
  func send(
    _ request: borrowing Request, extraFlags: Int32, _ operation: String, _ subject: String
  ) throws(Failure) -> UInt32 {
    guard request.isComplete else { throw Failure(operation, subject, errno: .noMemory) }
    let header = nlmsg_hdr(request.message)!
    header.pointee.nlmsg_flags |= UInt16(extraFlags)
    header.pointee.nlmsg_seq = nl_socket_use_seq(socket)
    header.pointee.nlmsg_pid = nl_socket_get_local_port(socket)
    let status = nl_send(socket, request.message)
    guard status >= 0 else {
      throw Failure(operation, "\(subject): \(String(cString: nl_geterror(status)))", errno: .last)
    }
    return header.pointee.nlmsg_seq
  }

  /// Sends messages that have their sequence numbers, as one datagram; their answers are the caller's to read.
  func send(_ messages: [UInt8], _ operation: String, _ subject: String) throws(Failure) {
    let sent = messages.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, 0) }
    guard sent == messages.count else { throw Failure(operation, subject, errno: .last) }
  }

  /// One datagram, message by message.
  private func receive(
    _ operation: String, _ subject: String, _ body: (Message) -> Void
  ) throws(Failure) {
    var sender = sockaddr_nl()
    var buffer: UnsafeMutablePointer<UInt8>?
    let length = nl_recv(socket, &sender, &buffer, nil)
    defer { free(buffer) }
    guard length >= 0 else {
      throw Failure(operation, "\(subject): \(String(cString: nl_geterror(length)))", errno: .last)
    }
    guard length > 0, sender.nl_pid == 0 else { return }
    var messages = Messages(UnsafeRawBufferPointer(start: buffer, count: Int(length)))
    while let message = try messages.next() { body(message) }
  }
}

extension Acknowledgement {
  func check(_ operation: String, _ subject: String) throws(Failure) {
    if let errno {
      throw Failure(operation, subject, errno: errno, advice: text.map { "The kernel says: \($0)" })
    }
  }
}

/// The first failure of an exchange, kept until the exchange has ended: a dump left
/// half read makes the kernel refuse the socket's next one.
private struct Outcome {
  private var failure: Failure?

  mutating func note(_ body: () throws(Failure) -> Void) {
    do { try body() } catch { failure = failure ?? error }
  }

  func check() throws(Failure) { if let failure { throw failure } }
}
