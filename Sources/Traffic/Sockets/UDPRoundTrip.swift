// SPDX-License-Identifier: Apache-2.0
import Glibc
import Histogram
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

  public struct Report: Sendable {
    /// Round trips in nanoseconds, three significant digits.
    public var histogram: Histogram<UInt32>
    /// Inside the window.
    public var transactionsPerSecond: Double
    /// Requests sent inside the window, and those without an answer in time.
    public var requests: UInt64
    public var timeouts: UInt64
    public var lostFraction: Double { requests == 0 ? 0 : Double(timeouts) / Double(requests) }

    /// Microseconds at a percentile (0 to 100).
    public func microseconds(_ percentile: Double) -> Double {
      Double(histogram.valueAtPercentile(percentile)) / 1000
    }
  }

  /// What an answer may take before it counts as lost.
  private static let patienceMilliseconds = 50

  public func run(_ path: Path) throws(Failure) -> Report {
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
    let local = try path.endpoint(of: path.server)
    let socket = try Socket(.udp, family: local.family)
    try socket.setTimeout(milliseconds: Self.patienceMilliseconds)
    try socket.bind(local)
    try socket.connect(path.endpoint(of: path.client))
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

  private func ask(_ path: Path, _ meeting: Meeting) throws(Failure) -> Report {
    let local = try path.endpoint(of: path.client)
    let socket = try Socket(.udp, family: local.family)
    try socket.setTimeout(milliseconds: Self.patienceMilliseconds)
    try socket.bind(local)
    guard meeting.waitForServer() else { throw Failure("start", "udp-rr: no server") }
    try socket.connect(path.endpoint(of: path.server))
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 64)
    defer { buffer.deallocate() }
    _ = buffer.initializeMemory(as: UInt8.self, repeating: 0)
    var histogram = Histogram<UInt32>(highestTrackableValue: 10_000_000_000)
    var requests: UInt64 = 0
    var timeouts: UInt64 = 0
    var number: UInt64 = 0
    let window = meeting.openWindow(timing)
    var sentAt = Clock.monotonicNanoseconds
    while sentAt < window.until {
      number += 1
      buffer.storeBytes(of: number, as: UInt64.self)
      let sent = socket.send(UnsafeRawBufferPointer(buffer))
      if sent < 0 && !isRefused(sent) && !isQuiet(sent) {
        throw Failure("send", "requests from \(path.client.name)", errno: Errno(rawValue: Int32(-sent)))
      }
      let answered = sent >= 0 ? try receive(number, on: socket, buffer, path) : false
      let now = Clock.monotonicNanoseconds
      if window.contains(sentAt) {
        requests += 1
        if answered { histogram.record(now - sentAt) } else { timeouts += 1 }
      }
      sentAt = now
    }
    return Report(
      histogram: histogram,
      transactionsPerSecond: Double(requests - timeouts) / timing.duration,
      requests: requests, timeouts: timeouts)
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
