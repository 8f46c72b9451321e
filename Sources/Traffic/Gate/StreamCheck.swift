// SPDX-License-Identifier: Apache-2.0
import Glibc
import LinuxSystem
import SystemPackage

/// TCP of random bytes, first from client to server, then back, every byte compared.
struct StreamCheck: Sendable {
  /// Bytes per write.
  var writeSize: Int
  /// Bytes each way.
  var total: Int

  private static let patience = 4.0

  func run(_ path: Path) throws(Failure) {
    let check = self
    _ = try path.run(
      LoadTiming(warmUp: 0, duration: Self.patience),
      server: { (meeting) throws(Failure) in try check.serve(path, meeting) },
      client: { (meeting) throws(Failure) in try check.load(path, meeting) })
  }

  private var seed: UInt64 { UInt64(writeSize) << 32 | UInt64(total) }

  private func serve(_ path: Path, _ meeting: Meeting) throws(Failure) {
    let local = try path.local(path.server)
    let listener = try Socket(.tcp, family: local.family)
    try listener.setTimeout(milliseconds: 2000)
    try listener.bind(local)
    try listener.listen()
    meeting.serverIsReady()
    let socket = try listener.accept()
    try socket.setTimeout(milliseconds: 100)
    try compare(socket, meeting, seed: seed, at: path.server.name)
    try write(socket, meeting, seed: ~seed, from: path.server.name)
  }

  private func load(_ path: Path, _ meeting: Meeting) throws(Failure) {
    let remote = try path.remote(path.server)
    let socket = try Socket(.tcp, family: remote.family)
    try socket.setTimeout(milliseconds: 100)
    try socket.set(Int32(IPPROTO_TCP), TCP_NODELAY, 1)
    guard meeting.waitForServer() else { throw Failure("start", "TCP check: no server") }
    try socket.connectPatiently(remote, until: meeting)
    try write(socket, meeting, seed: seed, from: path.client.name)
    try compare(socket, meeting, seed: ~seed, at: path.client.name)
  }

  private func write(
    _ socket: borrowing Socket, _ meeting: Meeting, seed: UInt64, from name: String
  ) throws(Failure) {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: writeSize, alignment: 8)
    defer { buffer.deallocate() }
    var random = RandomStream(seed: seed)
    var left = total
    while left > 0 {
      let chunk = UnsafeMutableRawBufferPointer(rebasing: buffer[..<min(left, writeSize)])
      random.fill(chunk)
      var offset = 0
      while offset < chunk.count {
        let sent = socket.send(UnsafeRawBufferPointer(rebasing: chunk[offset...]))
        if sent < 0 {
          guard isQuiet(sent), !meeting.isOver else {
            throw Failure(
              "send", "TCP from \(name), byte \(total - left + offset)", errno: Errno(rawValue: Int32(-sent)))
          }
          continue
        }
        offset += sent
      }
      left -= chunk.count
    }
  }

  private func compare(
    _ socket: borrowing Socket, _ meeting: Meeting, seed: UInt64, at name: String
  ) throws(Failure) {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 8)
    defer { buffer.deallocate() }
    var random = RandomStream(seed: seed)
    var received = 0
    while received < total {
      let got = socket.receive(buffer)
      if got == 0 { throw Failure("receive", "TCP at \(name): end after \(received) of \(total) bytes") }
      if got < 0 {
        guard isQuiet(got), !meeting.isOver else {
          throw Failure(
            "receive", "TCP at \(name), \(received) of \(total) bytes came",
            errno: Errno(rawValue: Int32(-got)))
        }
        continue
      }
      if let offset = random.firstDifference(UnsafeRawBufferPointer(rebasing: buffer[..<got])) {
        throw Failure("compare", "TCP at \(name): byte \(received + offset) differs")
      }
      received += got
    }
  }
}
