// SPDX-License-Identifier: Apache-2.0
import Foundation
import Glibc
import LinuxSystem
import SystemPackage

/// A Unix socket at which the process that serves an overlay answers: to root, and to anybody who only reads.
struct ControlListener: ~Copyable {
  let descriptor: OwnedDescriptor

  init(path: String) throws {
    unlink(path)
    let raw = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
    guard raw >= 0 else { throw Failure("create", "a control socket", errno: .last) }
    let descriptor = OwnedDescriptor(adopting: raw)
    guard try withAddress(path, { bind(raw, $0, $1) }) == 0, listen(raw, 64) == 0 else {
      throw Failure("listen at", path, errno: .last)
    }
    // Connecting takes the right to write; who may end it is asked of each client.
    chmod(path, 0o666)
    self.descriptor = descriptor
  }

  /// A client, or nil where none waits any more.
  func accept() -> Box<OwnedDescriptor>? {
    let raw = Glibc.accept(descriptor.raw, nil, nil)
    guard raw >= 0 else { return nil }
    _ = fcntl(raw, F_SETFD, FD_CLOEXEC)
    return Box(OwnedDescriptor(adopting: raw))
  }
}

/// What came of asking an owner.
enum ControlOutcome<Body> {
  case answered(Body)
  /// It has been told to end, or lost interest.
  case ending
  /// Nobody listens: not yet, or no longer.
  case notListening
  /// No answer in time.
  case silent
}

/// Asks the process that serves `directory`. Throws what it refuses, or what it cannot make itself understood by.
func ask<Body: Codable>(
  _ directory: RuntimeDirectory, _ request: ControlRequest, as: Body.Type, milliseconds: Int
) throws(Failure) -> ControlOutcome<Body> {
  // What is handed over is not to lose what another version does not know of.
  if case .serve = request { try checkVersion(of: directory, milliseconds: milliseconds) }
  guard let client = try ControlClient.connect(path: directory.socketPath) else { return .notListening }
  switch client.exchange(request.line, milliseconds: milliseconds) {
  case .line(let line): return try understand(line, request, from: directory.owner)
  case .closed: return .ending
  case .silent: return .silent
  }
}

/// An older process decodes what it knows, and refuses nothing: it is asked who it is first.
private func checkVersion(of directory: RuntimeDirectory, milliseconds: Int) throws(Failure) {
  guard let client = try ControlClient.connect(path: directory.socketPath),
    case .line(let line) = client.exchange(ControlRequest.status.line, milliseconds: milliseconds),
    let version = ControlProtocol.head(line)?.culvert, version != Build.version
  else { return }
  let pid = directory.owner?.pid
  throw Failure(
    "hand over to", pid.map { "process \($0)" } ?? "the process",
    advice: ControlProtocol.differentVersions(of: pid, version, Build.version))
}

func understand<Body: Codable>(
  _ line: [UInt8], _ request: ControlRequest, from owner: Owner?
) throws(Failure) -> ControlOutcome<Body> {
  let process = owner.map { "process \($0.pid)" } ?? "the process"
  let head = ControlProtocol.head(line)
  let way =
    owner.map { "`/proc/\($0.pid)/exe \(request.command)` asks with its own binary, `kill \($0.pid)` ends it." } ?? ""
  guard let schema = head?.schema, schema.hasPrefix("culvert.control/") else {
    let isOld = head != nil
    let start = String(decoding: line.prefix(60), as: UTF8.self)
    throw Failure(
      "ask", process,
      advice: (isOld
        ? "It is an older culvert, from before \(ControlProtocol.schema). "
        : "Its answer is no reply of culvert's: \"\(start)\". ") + way)
  }
  let other = "culvert \(head?.culvert ?? "of an unknown version")"
  guard schema == ControlProtocol.schema else {
    throw Failure(
      "ask", process,
      advice:
        "It is \(other) and speaks \(schema), this is culvert \(Build.version) and speaks \(ControlProtocol.schema). "
        + way)
  }
  let reply: ControlReply<Body>
  do { reply = try JSONDecoder().decode(ControlReply<Body>.self, from: Data(line)) } catch {
    throw Failure(
      "read the \(request.name) of", process,
      advice: "It is \(other), this is culvert \(Build.version), and its answer lacks something. " + way)
  }
  if let body = reply.body { return .answered(body) }
  switch reply.error?.kind {
  case .ending: return .ending
  case .privileges:
    throw Failure("ask for \(request.name)", process, errno: .notPermitted, advice: "Run as root.")
  default:
    throw Failure("ask for \(request.name)", process, advice: reply.error?.text ?? "It gave no reason.")
  }
}

/// The asking end of a control connection.
struct ControlClient: ~Copyable {
  private let descriptor: OwnedDescriptor

  private init(descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }

  /// nil where nobody listens.
  static func connect(path: String) throws(Failure) -> ControlClient? {
    let raw = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    guard raw >= 0 else { throw Failure("create", "a control socket", errno: .last) }
    let client = ControlClient(descriptor: OwnedDescriptor(adopting: raw))
    guard try withAddress(path, { Glibc.connect(raw, $0, $1) }) != 0 else { return client }
    let errno = Errno.last
    if [.noSuchFileOrDirectory, .connectionRefused, .notDirectory].contains(errno) { return nil }
    throw Failure("connect to", path, errno: errno, advice: errno == .permissionDenied ? "Run as root." : nil)
  }

  static func isAnybodyListening(at path: String) -> Bool {
    guard let client = try? connect(path: path) else { return false }
    _ = consume client
    return true
  }

  enum Exchange {
    case line([UInt8])
    case closed
    case silent
  }

  /// Sends a line and waits for one, so long in all.
  func exchange(_ line: [UInt8], milliseconds: Int) -> Exchange {
    // A request fits into the socket's buffer.
    let sent = line.withUnsafeBytes {
      send(descriptor.raw, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
    }
    guard sent == line.count else { return .closed }
    let deadline = Clock.monotonicNanoseconds + UInt64(milliseconds) * 1_000_000
    var received: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while true {
      let now = Clock.monotonicNanoseconds
      var waiting = pollfd(fd: descriptor.raw, events: Int16(POLLIN), revents: 0)
      guard now < deadline else { return .silent }
      let isReadable = poll(&waiting, 1, Int32((deadline - now) / 1_000_000) + 1) > 0
      guard isReadable else { continue }
      let count = recv(descriptor.raw, &chunk, chunk.count, 0)
      guard count > 0 else { return .closed }
      received += chunk[..<count]
      if received.last == UInt8(ascii: "\n") { return .line(received.dropLast()) }
    }
  }
}

private func withAddress(
  _ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
) throws(Failure) -> Int32 {
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
