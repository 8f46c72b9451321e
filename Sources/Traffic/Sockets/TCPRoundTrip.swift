// SPDX-License-Identifier: Apache-2.0
import Glibc
import LinuxSystem
import SystemPackage

/// Workloads `tcp-rr` and `tcp-crr`: one outstanding request, answered with as many bytes, on blocking sockets
/// that send at once (TCP_NODELAY).
///
/// With a connection each, a transaction is the handshake, the request, the answer and the end. Its client
/// resets the connection (SO_LINGER 0) instead of closing it: no port waits in TIME_WAIT, of which some ten
/// thousand a second would soon leave none, in whatever namespaces and with whatever settings it runs.
public struct TCPRoundTrip: Sendable {
  /// Bytes each way, 1 to 65507.
  public var size: Int
  /// `tcp-crr`: a new connection for each request.
  public var connectsEachTime: Bool
  public var timing: LoadTiming

  public init(size: Int, connectsEachTime: Bool = false, timing: LoadTiming) {
    self.size = size
    self.connectsEachTime = connectsEachTime
    self.timing = timing
  }

  private var name: String { connectsEachTime ? "tcp-crr" : "tcp-rr" }

  public func run(_ path: Path) throws(Failure) -> RoundTripReport {
    guard (1...65507).contains(size) else {
      throw Failure("send", "requests of \(size) bytes", advice: "1 to 65507 bytes.", status: .usage)
    }
    let load = self
    return try path.run(
      timing,
      server: { (meeting) throws(Failure) in try load.serve(path, meeting) },
      client: { (meeting) throws(Failure) in
        guard meeting.waitForServer() else { throw Failure("start", "\(load.name): no server") }
        return try load.connectsEachTime ? load.askAnew(path, meeting) : load.ask(path, meeting)
      }
    ).client
  }

  // MARK: - Server

  private func serve(_ path: Path, _ meeting: Meeting) throws(Failure) {
    let local = try path.local(path.server)
    let listener = try Socket(.tcp, family: local.family)
    try listener.setTimeout(milliseconds: RoundTrips.patienceMilliseconds)
    try listener.bind(local)
    try listener.listen(backlog: 64)
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 64)
    defer { buffer.deallocate() }
    meeting.serverIsReady()
    while !meeting.isOver {
      if let connection = try listener.acceptIfAny() {
        try answer(connection, buffer, meeting)
      } else if meeting.isClientDone {
        return
      }
    }
  }

  /// Until the client ends the connection.
  private func answer(
    _ connection: borrowing Socket, _ buffer: UnsafeMutableRawBufferPointer, _ meeting: Meeting
  ) throws(Failure) {
    try connection.setTimeout(milliseconds: RoundTrips.patienceMilliseconds)
    try connection.sendAtOnce()
    while connection.receiveAll(buffer, until: meeting) {
      guard connection.sendAll(buffer, until: meeting) else { return }
    }
  }

  // MARK: - Client

  private func ask(_ path: Path, _ meeting: Meeting) throws(Failure) -> RoundTripReport {
    let socket = try open(path, meeting)
    let buffer = request()
    defer { buffer.deallocate() }
    return try RoundTrips.run(timing, meeting) { _ throws(Failure) in
      // TCP sends again what was lost: an answer may be late, but no answer is a broken path.
      guard socket.sendAll(buffer, until: meeting), socket.receiveAll(buffer, until: meeting) else {
        throw Failure("receive", "an answer over TCP at \(path.client.name)", advice: "The connection broke.")
      }
      return true
    }
  }

  private func askAnew(_ path: Path, _ meeting: Meeting) throws(Failure) -> RoundTripReport {
    let buffer = request()
    defer { buffer.deallocate() }
    return try RoundTrips.run(timing, meeting) { _ throws(Failure) in
      let socket = try open(path, meeting)
      try socket.resetAtEnd()
      return socket.sendAll(buffer, until: meeting) && socket.receiveAll(buffer, until: meeting)
    }
  }

  private func open(_ path: Path, _ meeting: Meeting) throws(Failure) -> Socket {
    let remote = try path.remote(path.server)
    let socket = try Socket(.tcp, family: remote.family)
    try socket.setTimeout(milliseconds: RoundTrips.patienceMilliseconds)
    try socket.sendAtOnce()
    try socket.connectPatiently(remote, until: meeting)
    return socket
  }

  private func request() -> UnsafeMutableRawBufferPointer {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 64)
    _ = buffer.initializeMemory(as: UInt8.self, repeating: 0x5a)
    return buffer
  }
}

extension Socket {
  /// Segments leave without waiting for more to send (TCP_NODELAY, RFC 896's opposite).
  func sendAtOnce() throws(Failure) { try set(Int32(IPPROTO_TCP), TCP_NODELAY, 1) }

  /// Closing resets the connection: nothing of it waits (socket(7), SO_LINGER of zero).
  func resetAtEnd() throws(Failure) {
    var zero = linger(l_onoff: 1, l_linger: 0)
    guard setsockopt(raw, SOL_SOCKET, SO_LINGER, &zero, socklen_t(MemoryLayout<linger>.size)) == 0 else {
      throw Failure("set", "SO_LINGER of a socket", errno: .last)
    }
  }

  /// All of it, whatever the pieces; false where the connection or the run ended before.
  func sendAll(_ buffer: UnsafeMutableRawBufferPointer, until meeting: Meeting) -> Bool {
    transfer(buffer, meeting) { send(UnsafeRawBufferPointer($0)) }
  }

  func receiveAll(_ buffer: UnsafeMutableRawBufferPointer, until meeting: Meeting) -> Bool {
    transfer(buffer, meeting) { receive($0) }
  }

  @inline(__always)
  private func transfer(
    _ buffer: UnsafeMutableRawBufferPointer, _ meeting: Meeting,
    _ move: (UnsafeMutableRawBufferPointer) -> Int
  ) -> Bool {
    var done = 0
    while done < buffer.count {
      let moved = move(UnsafeMutableRawBufferPointer(rebasing: buffer[done...]))
      if moved > 0 {
        done += moved
      } else if !isQuiet(moved) || meeting.isOver || (done == 0 && meeting.isClientDone) {
        return false
      }
    }
    return true
  }
}
