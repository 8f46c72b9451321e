// SPDX-License-Identifier: Apache-2.0
import Glibc
import LinuxSystem
import SystemPackage

/// Workload `udp-rr`: one outstanding request, blocking sockets, connection kept.
public struct UDPRoundTrip: Sendable {
  /// Bytes of UDP payload each way, 8 to 65507.
  public var size: Int
  public var timing: LoadTiming

  public init(size: Int, timing: LoadTiming) {
    self.size = size
    self.timing = timing
  }

  public func run(_ path: Path) throws(Failure) -> RoundTripReport {
    guard (8...65507).contains(size) else {
      throw Failure("send", "requests of \(size) bytes", advice: "8 to 65507 bytes.", status: .usage)
    }
    let load = self
    return try path.run(
      timing,
      server: { (meeting) throws(Failure) in try load.answer(path, meeting) },
      client: { (meeting) throws(Failure) in try load.ask(path, meeting) }
    ).client
  }

  private func answer(_ path: Path, _ meeting: Meeting) throws(Failure) {
    let local = try path.local(path.server)
    let socket = try Socket(.udp, family: local.family)
    try socket.setTimeout(milliseconds: RoundTrips.patienceMilliseconds)
    try socket.bind(local)
    try socket.connect(path.remote(path.client))
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 64)
    defer { buffer.deallocate() }
    meeting.serverIsReady()
    while !meeting.isOver {
      let got = socket.receive(buffer)
      if got >= 0 {
        // What cannot be sent is a request without an answer: the client counts it.
        _ = socket.send(UnsafeRawBufferPointer(rebasing: buffer[..<got]))
      } else if isQuiet(got) {
        if meeting.isClientDone { return }
      } else if !isRefused(got) {
        throw Failure("receive", "requests at \(path.server.name)", errno: Errno(rawValue: Int32(-got)))
      }
    }
  }

  private func ask(_ path: Path, _ meeting: Meeting) throws(Failure) -> RoundTripReport {
    let local = try path.local(path.client)
    let socket = try Socket(.udp, family: local.family)
    try socket.setTimeout(milliseconds: RoundTrips.patienceMilliseconds)
    try socket.bind(local)
    guard meeting.waitForServer() else { throw Failure("start", "udp-rr: no server") }
    try socket.connect(path.remote(path.server))
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 64)
    defer { buffer.deallocate() }
    _ = buffer.initializeMemory(as: UInt8.self, repeating: 0)
    return try RoundTrips.run(timing, meeting) { number throws(Failure) in
      buffer.storeBytes(of: number, as: UInt64.self)
      let sent = socket.send(UnsafeRawBufferPointer(buffer))
      if sent < 0 && !isRefused(sent) && !isQuiet(sent) {
        throw Failure("send", "requests from \(path.client.name)", errno: Errno(rawValue: Int32(-sent)))
      }
      return sent >= 0 ? try receive(number, on: socket, buffer, path) : false
    }
  }

  /// Waits for the answer to request `number`; late answers to earlier ones are thrown away.
  private func receive(
    _ number: UInt64, on socket: borrowing Socket, _ buffer: UnsafeMutableRawBufferPointer, _ path: Path
  ) throws(Failure) -> Bool {
    while true {
      let got = socket.receive(buffer)
      if got >= 8 && buffer.load(as: UInt64.self) == number { return true }
      if got >= 0 { continue }
      if isQuiet(got) || isRefused(got) { return false }
      throw Failure("receive", "answers at \(path.client.name)", errno: Errno(rawValue: Int32(-got)))
    }
  }
}
