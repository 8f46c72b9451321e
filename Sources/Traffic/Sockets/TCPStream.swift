// SPDX-License-Identifier: Apache-2.0
import CLinuxSystem
import Glibc
import LinuxSystem
import SystemPackage

/// Workload `tcp-stream`: connections at full speed, writes of `size` bytes, counted where they are read.
public struct TCPStream: Sendable {
  /// Bytes per write.
  public var size: Int
  /// Parallel connections, each with threads of its own; figures are sums.
  public var flows: Int
  public var timing: LoadTiming

  public init(size: Int, flows: Int = 1, timing: LoadTiming) {
    self.size = size
    self.flows = flows
    self.timing = timing
  }

  public struct Report: Sendable, Equatable {
    /// Inside the window.
    public var receivedBytesPerSecond: Double
    /// Of the whole run; equal when the connection lost nothing.
    public var sentBytes: UInt64
    public var receivedBytes: UInt64
    /// Of the whole run, by the sender's TCP_INFO: data segments, and those of them that were sent again.
    public var segments: UInt64
    public var retransmitted: UInt64
  }

  struct Sent: Sendable {
    var bytes: UInt64 = 0
    var segments = culvert_tcp_segments()
  }

  private static let readBytes = 256 << 10

  public func run(_ path: Path) throws(Failure) -> Report {
    guard size > 0 else {
      throw Failure("write", "\(size) bytes at a time", advice: "1 or more.", status: .usage)
    }
    let load = self
    let (received, sent) = try path.run(
      timing, flows: flows,
      server: { (path, meeting) throws(Failure) in try load.receive(path, meeting) },
      client: { (path, meeting) throws(Failure) in try load.send(path, meeting) })
    return Report(
      receivedBytesPerSecond: Double(received.reduce(0) { $0 + $1.inWindow }) / timing.duration,
      sentBytes: sent.reduce(0) { $0 + $1.bytes }, receivedBytes: received.reduce(0) { $0 + $1.total },
      segments: sent.reduce(0) { $0 + $1.segments.sent },
      retransmitted: sent.reduce(0) { $0 + $1.segments.retransmitted })
  }

  private func receive(
    _ path: Path, _ meeting: Meeting
  ) throws(Failure) -> (inWindow: UInt64, total: UInt64) {
    try receive(on: try accept(path, meeting), path.server, meeting)
  }

  /// The one connection that a flow's server waits for.
  func accept(_ path: Path, _ meeting: Meeting) throws(Failure) -> Socket {
    let local = try path.local(path.server)
    let listener = try Socket(.tcp, family: local.family)
    try listener.setTimeout(milliseconds: 3000)
    try listener.bind(local)
    try listener.listen()
    meeting.serverIsReady()
    let socket = try listener.accept()
    try socket.setTimeout(milliseconds: 100)
    return socket
  }

  /// Until the other end ends it.
  func receive(
    on socket: borrowing Socket, _ station: Station, _ meeting: Meeting
  ) throws(Failure) -> (inWindow: UInt64, total: UInt64) {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.readBytes, alignment: 64)
    defer { buffer.deallocate() }
    var total: UInt64 = 0
    var inWindow: UInt64 = 0
    while !meeting.isOver {
      let got = socket.receive(buffer)
      if got == 0 { break }
      if got < 0 {
        if isQuiet(got) { continue }
        throw Failure("receive", "a stream at \(station.name)", errno: Errno(rawValue: Int32(-got)))
      }
      if meeting.window.contains(Clock.monotonicNanoseconds) { inWindow += UInt64(got) }
      total += UInt64(got)
    }
    return (inWindow, total)
  }

  private func send(_ path: Path, _ meeting: Meeting) throws(Failure) -> Sent {
    let socket = try connect(path, meeting)
    _ = meeting.openWindow(timing)
    return try send(on: socket, path.client, meeting)
  }

  func connect(_ path: Path, _ meeting: Meeting) throws(Failure) -> Socket {
    let remote = try path.remote(path.server)
    let socket = try Socket(.tcp, family: remote.family)
    try socket.setTimeout(milliseconds: 100)
    guard meeting.waitForServer() else { throw Failure("start", "tcp-stream: no server") }
    try socket.connectPatiently(remote, until: meeting)
    return socket
  }

  /// Until the window ends.
  func send(on socket: borrowing Socket, _ station: Station, _ meeting: Meeting) throws(Failure) -> Sent {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 64)
    defer { buffer.deallocate() }
    _ = buffer.initializeMemory(as: UInt8.self, repeating: 0x5a)
    var count = Sent()
    while Clock.monotonicNanoseconds < meeting.window.until && !meeting.isOver {
      let sent = socket.send(UnsafeRawBufferPointer(buffer))
      guard sent >= 0 else {
        if isQuiet(sent) { continue }
        throw Failure("send", "a stream from \(station.name)", errno: Errno(rawValue: Int32(-sent)))
      }
      count.bytes += UInt64(sent)
    }
    let result = culvert_tcp_segments(socket.raw, &count.segments)
    guard result == 0 else {
      throw Failure("ask TCP_INFO of", "a stream from \(station.name)", errno: Errno(rawValue: -result))
    }
    return count
  }
}
