// SPDX-License-Identifier: Apache-2.0
import Glibc
import LinuxSystem
import SystemPackage

/// A socket of the calling thread's namespace. Every wait on it ends after `timeout`.
struct Socket: ~Copyable {
  let descriptor: OwnedDescriptor
  var raw: Int32 { descriptor.raw }

  enum Kind {
    case udp, tcp, icmp
  }

  init(_ kind: Kind, family: Int32) throws(Failure) {
    let type: Int32
    let proto: Int32
    switch kind {
    case .udp: (type, proto) = (Int32(SOCK_DGRAM.rawValue), Int32(IPPROTO_UDP))
    case .tcp: (type, proto) = (Int32(SOCK_STREAM.rawValue), Int32(IPPROTO_TCP))
    case .icmp:
      (type, proto) = (
        Int32(SOCK_RAW.rawValue), Int32(family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6)
      )
    }
    let raw = socket(family, type | Int32(SOCK_CLOEXEC.rawValue), proto)
    guard raw >= 0 else { throw Failure("open", "a \(kind) socket", errno: .last) }
    descriptor = OwnedDescriptor(adopting: raw)
  }

  func set(_ level: Int32, _ option: Int32, _ value: Int32) throws(Failure) {
    var value = value
    guard setsockopt(raw, level, option, &value, socklen_t(MemoryLayout<Int32>.size)) == 0 else {
      throw Failure("set", "socket option \(level)/\(option)", errno: .last)
    }
  }

  func setTimeout(milliseconds: Int) throws(Failure) {
    var time = timeval(tv_sec: milliseconds / 1000, tv_usec: milliseconds % 1000 * 1000)
    for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
      guard setsockopt(raw, SOL_SOCKET, option, &time, socklen_t(MemoryLayout<timeval>.size)) == 0 else {
        throw Failure("set", "a socket's timeout", errno: .last)
      }
    }
  }

  /// Asks for a large receive buffer, past net.core.rmem_max where root may.
  func setReceiveBuffer(_ bytes: Int32) throws(Failure) {
    do { try set(SOL_SOCKET, SO_RCVBUFFORCE, bytes) } catch { try set(SOL_SOCKET, SO_RCVBUF, bytes) }
  }

  func bind(_ endpoint: Endpoint) throws(Failure) {
    try set(SOL_SOCKET, SO_REUSEADDR, 1)
    guard endpoint.withSocketAddress({ Glibc.bind(raw, $0, $1) }) == 0 else {
      throw Failure("bind", "\(endpoint)", errno: .last)
    }
  }

  func connect(_ endpoint: Endpoint) throws(Failure) {
    guard endpoint.withSocketAddress({ Glibc.connect(raw, $0, $1) }) == 0 else {
      throw Failure("connect", "\(endpoint)", errno: .last)
    }
  }

  /// connect(2) of a socket with a send timeout: EINPROGRESS and EALREADY mean "not yet".
  func connectPatiently(_ endpoint: Endpoint, until meeting: Meeting) throws(Failure) {
    while true {
      if endpoint.withSocketAddress({ Glibc.connect(raw, $0, $1) }) == 0 { return }
      let reason = Errno.last
      if reason.rawValue == EISCONN { return }
      guard [EINPROGRESS, EALREADY, EINTR].contains(reason.rawValue), !meeting.isOver else {
        throw Failure("connect", "\(endpoint)", errno: reason)
      }
    }
  }

  func listen(backlog: Int32 = 1) throws(Failure) {
    guard Glibc.listen(raw, backlog) == 0 else { throw Failure("listen", "on a socket", errno: .last) }
  }

  /// Waits for one connection.
  func accept() throws(Failure) -> Socket {
    let connection = Glibc.accept(raw, nil, nil)
    guard connection >= 0 else { throw Failure("accept", "a connection", errno: .last) }
    return Socket(adopting: OwnedDescriptor(adopting: connection))
  }

  /// The next connection, or nil where none came in time; one that is over already is none.
  func acceptIfAny() throws(Failure) -> Socket? {
    let connection = Glibc.accept(raw, nil, nil)
    guard connection >= 0 else {
      let reason = Errno.last
      if [EAGAIN, EINTR, ECONNABORTED].contains(reason.rawValue) { return nil }
      throw Failure("accept", "a connection", errno: reason)
    }
    return Socket(adopting: OwnedDescriptor(adopting: connection))
  }

  private init(adopting descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }

  /// Bytes, or -errno.
  func send(_ bytes: UnsafeRawBufferPointer) -> Int {
    let sent = Glibc.send(raw, bytes.baseAddress, bytes.count, Int32(truncatingIfNeeded: MSG_NOSIGNAL))
    return sent < 0 ? -Int(Errno.last.rawValue) : sent
  }

  /// Bytes, or -errno; 0 is the end of a stream.
  func receive(_ bytes: UnsafeMutableRawBufferPointer) -> Int {
    let received = recv(raw, bytes.baseAddress, bytes.count, 0)
    return received < 0 ? -Int(Errno.last.rawValue) : received
  }
}

/// -EAGAIN, -EINTR: nothing came in time, which is no error.
@inline(__always)
func isQuiet(_ result: Int) -> Bool { result == -Int(EAGAIN) || result == -Int(EINTR) }

/// -ECONNREFUSED: ICMP told of an earlier datagram, this call did nothing.
@inline(__always)
func isRefused(_ result: Int) -> Bool { result == -Int(ECONNREFUSED) }
