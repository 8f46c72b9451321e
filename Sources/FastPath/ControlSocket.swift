// SPDX-License-Identifier: Apache-2.0
import Foundation
import Glibc
import LinuxSystem
import SystemPackage

/// The control protocol: one word a connection, one JSON document back.
public enum ControlRequest: String, Sendable {
  case status, stats, down
}

/// A Unix socket at which the process that serves an overlay answers.
struct ControlListener: ~Copyable {
  let descriptor: OwnedDescriptor

  init(path: String) throws {
    unlink(path)
    let raw = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
    guard raw >= 0 else { throw Failure("create", "a control socket", errno: .last) }
    let descriptor = OwnedDescriptor(adopting: raw)
    guard try withAddress(path, { bind(raw, $0, $1) }) == 0, listen(raw, 8) == 0 else {
      throw Failure("listen at", path, errno: .last)
    }
    chmod(path, 0o600)
    self.descriptor = descriptor
  }

  /// Accepts one client that has sent its word; nil where none waits.
  func accept() -> ControlClient? {
    let raw = Glibc.accept(descriptor.raw, nil, nil)
    guard raw >= 0 else { return nil }
    _ = fcntl(raw, F_SETFD, FD_CLOEXEC)
    let client = ControlClient(descriptor: OwnedDescriptor(adopting: raw))
    // A client that says nothing must not hold up the fast path's bookkeeping.
    client.setTimeout(milliseconds: 200)
    return client
  }
}

/// One end of a control connection.
struct ControlClient: ~Copyable {
  let descriptor: OwnedDescriptor

  init(descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }

  static func connect(path: String) throws -> ControlClient {
    let raw = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    guard raw >= 0 else { throw Failure("create", "a control socket", errno: .last) }
    let client = ControlClient(descriptor: OwnedDescriptor(adopting: raw))
    guard try withAddress(path, { Glibc.connect(raw, $0, $1) }) == 0 else {
      throw Failure("connect to", path, errno: .last)
    }
    return client
  }

  func setTimeout(milliseconds: Int) {
    var limit = timeval(tv_sec: milliseconds / 1000, tv_usec: (milliseconds % 1000) * 1000)
    setsockopt(descriptor.raw, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    setsockopt(descriptor.raw, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
  }

  /// Up to a newline or the end of the stream.
  func readLine() -> String {
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 4096)
    while true {
      let count = read(descriptor.raw, &chunk, chunk.count)
      guard count > 0 else { break }
      bytes += chunk[..<count]
      if bytes.last == UInt8(ascii: "\n") { break }
    }
    return String(decoding: bytes, as: UTF8.self).trimmingCharacters(in: .newlines)
  }

  func write(line: Data) {
    let bytes = [UInt8](line) + [UInt8(ascii: "\n")]
    var sent = 0
    while sent < bytes.count {
      let count = bytes.withUnsafeBytes {
        send(descriptor.raw, $0.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL))
      }
      guard count > 0 else { return }
      sent += count
    }
  }
}

/// Asks the process that serves `directory`.
public func askOwner(_ directory: RuntimeDirectory, _ request: ControlRequest, seconds: Int = 10) throws
  -> Data
{
  let client = try ControlClient.connect(path: directory.socketPath)
  client.setTimeout(milliseconds: seconds * 1000)
  client.write(line: Data(request.rawValue.utf8))
  let answer = client.readLine()
  guard !answer.isEmpty else {
    throw Failure(
      "get an answer from", directory.socketPath,
      advice: "The process \(directory.owner?.pid ?? 0) did not answer within \(seconds) s.")
  }
  return Data(answer.utf8)
}

private func withAddress(_ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) throws
  -> Int32
{
  var address = sockaddr_un()
  address.sun_family = sa_family_t(AF_UNIX)
  let capacity = MemoryLayout.size(ofValue: address.sun_path)
  guard path.utf8.count < capacity else {
    throw Failure("use", path, errno: Errno(rawValue: ENAMETOOLONG))
  }
  withUnsafeMutableBytes(of: &address.sun_path) { field in
    field.copyBytes(from: path.utf8)
  }
  return withUnsafePointer(to: &address) {
    $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
      body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
    }
  }
}
