// SPDX-License-Identifier: Apache-2.0
import Glibc
import LinuxSystem
import SystemPackage

/// UDP there and back, every byte compared.
struct EchoCheck: Sendable {
  /// Bytes of UDP payload.
  var sizes: [Int]
  var attempts: Int

  private static let largest = 65536

  func run(_ path: Path) throws(Failure) {
    let check = self
    let patience = Double(sizes.count * attempts) * 0.25
    _ = try path.run(
      LoadTiming(warmUp: 0, duration: patience),
      server: { (meeting) throws(Failure) in try check.answer(path, meeting) },
      client: { (meeting) throws(Failure) in try check.ask(path, meeting) })
  }

  private func answer(_ path: Path, _ meeting: Meeting) throws(Failure) {
    let local = try path.local(path.server)
    let socket = try Socket(.udp, family: local.family)
    try socket.setTimeout(milliseconds: 50)
    try socket.bind(local)
    try socket.connect(path.remote(path.client))
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.largest, alignment: 8)
    defer { buffer.deallocate() }
    meeting.serverIsReady()
    while !meeting.isOver && !meeting.isClientDone {
      let got = socket.receive(buffer)
      if got > 0 { _ = socket.send(UnsafeRawBufferPointer(rebasing: buffer[..<got])) }
    }
  }

  private func ask(_ path: Path, _ meeting: Meeting) throws(Failure) {
    let local = try path.local(path.client)
    let socket = try Socket(.udp, family: local.family)
    try socket.setTimeout(milliseconds: 200)
    try socket.bind(local)
    guard meeting.waitForServer() else { throw Failure("start", "UDP echo: no server") }
    try socket.connect(path.remote(path.server))
    let sent = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.largest, alignment: 8)
    let received = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.largest, alignment: 8)
    defer {
      sent.deallocate()
      received.deallocate()
    }
    for size in sizes where size > 0 {
      try exchange(size, on: socket, sent, received)
    }
  }

  private func exchange(
    _ size: Int, on socket: borrowing Socket,
    _ sent: UnsafeMutableRawBufferPointer, _ received: UnsafeMutableRawBufferPointer
  ) throws(Failure) {
    var problem = "no answer"
    for attempt in 1...attempts {
      var random = RandomStream(seed: UInt64(size) << 8 | UInt64(attempt))
      random.fill(UnsafeMutableRawBufferPointer(rebasing: sent[..<size]))
      let status = socket.send(UnsafeRawBufferPointer(rebasing: sent[..<size]))
      if status < 0 && !isRefused(status) {
        problem = "not sent, \(Errno(rawValue: Int32(-status)))"
      }
      while true {
        let got = socket.receive(received)
        if got < 0 { break }
        guard got == size else { continue }
        var expected = RandomStream(seed: UInt64(size) << 8 | UInt64(attempt))
        guard let offset = expected.firstDifference(UnsafeRawBufferPointer(rebasing: received[..<got])) else {
          return
        }
        // The late answer to an earlier attempt differs from its first bytes on.
        problem = "byte \(offset) came back changed"
      }
    }
    throw Failure("echo", "\(size) bytes of UDP: \(problem)")
  }
}
