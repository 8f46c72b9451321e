// SPDX-License-Identifier: Apache-2.0
import Glibc
import LinuxSystem
import SystemPackage

/// Workload `udp-stream`: open loop, sendmmsg(2) against recvmmsg(2), datagrams numbered. The first one is answered,
/// once: connection tracking on the way takes the flow for one that was replied to, as most are.
public struct UDPStream: Sendable {
  /// Bytes of UDP payload, 8 to 65507.
  public var size: Int
  /// Datagrams per second of each flow; nil is as fast as the sender goes.
  public var rate: Double?
  /// Parallel flows, each with threads, sockets and ports of its own; figures are sums.
  public var flows: Int
  /// Datagrams that the kernel cuts out of one send (UDP_SEGMENT): the socket's part is paid once for all of them.
  public var segments: Int
  public var timing: LoadTiming

  /// UDP_MAX_SEGMENTS before Linux 6.5.
  public static let segmentLimit = 64

  public init(size: Int, rate: Double? = nil, flows: Int = 1, segments: Int = 1, timing: LoadTiming) {
    self.segments = segments
    self.size = size
    self.rate = rate
    self.flows = flows
    self.timing = timing
  }

  public struct Report: Sendable, Equatable {
    /// Datagrams that reached the application, and that were sent, inside the window, per second.
    public var receivedPerSecond: Double
    public var sentPerSecond: Double
    /// Of the whole run, warm-up and draining included.
    public var sent: UInt64
    public var received: UInt64
    /// Datagrams that came after one with a higher number.
    public var reordered: UInt64
    public var lost: UInt64 { sent > received ? sent - received : 0 }
    public var lostFraction: Double { sent == 0 ? 0 : Double(lost) / Double(sent) }
  }

  private static let sendBurst = 32
  /// linux/udp.h, which the C library's header lacks.
  private static let udpSegment: Int32 = 103
  private static let receiveBurst = 64
  private static let receiveBuffer: Int32 = 1 << 20

  private struct Received: Sendable {
    var inWindow: UInt64 = 0
    var total: UInt64 = 0
    var reordered: UInt64 = 0
  }

  private struct Sent: Sendable {
    var inWindow: UInt64 = 0
    var total: UInt64 = 0
  }

  /// Takes warm-up, duration and at most some 0.3 s more.
  public func run(_ path: Path) throws(Failure) -> Report {
    guard (8...65507).contains(size) else {
      throw Failure("send", "datagrams of \(size) bytes", advice: "8 to 65507 bytes.", status: .usage)
    }
    guard (1...Self.segmentLimit).contains(segments) else {
      throw Failure(
        "send", "batches of \(segments) datagrams", advice: "1 to \(Self.segmentLimit).", status: .usage)
    }
    let load = self
    let (received, sent) = try path.run(
      timing, flows: flows,
      server: { (path, meeting) throws(Failure) in try load.receive(path, meeting) },
      client: { (path, meeting) throws(Failure) in try load.send(path, meeting) })
    return Report(
      receivedPerSecond: Double(received.reduce(0) { $0 + $1.inWindow }) / timing.duration,
      sentPerSecond: Double(sent.reduce(0) { $0 + $1.inWindow }) / timing.duration,
      sent: sent.reduce(0) { $0 + $1.total }, received: received.reduce(0) { $0 + $1.total },
      reordered: received.reduce(0) { $0 + $1.reordered })
  }

  private func receive(_ path: Path, _ meeting: Meeting) throws(Failure) -> Received {
    let local = try path.local(path.server)
    let remote = try path.remote(path.client)
    let socket = try Socket(.udp, family: local.family)
    try socket.setReceiveBuffer(Self.receiveBuffer)
    try socket.setTimeout(milliseconds: 50)
    try socket.bind(local)
    try socket.connect(remote)
    let batch = try DatagramBatch(count: Self.receiveBurst, size: size)
    var count = Received()
    var next: UInt64 = 0
    let answer = [UInt8](repeating: 0, count: 8)
    meeting.serverIsReady()
    while !meeting.isOver {
      let got = batch.receive(on: socket.raw)
      if got < 0 {
        if isQuiet(got) {
          if meeting.isClientDone { break }
          continue
        }
        if isRefused(got) { continue }
        throw Failure("receive", "datagrams at \(path.server.name)", errno: Errno(rawValue: Int32(-got)))
      }
      if count.total == 0 { answer.withUnsafeBytes { _ = socket.send($0) } }
      let now = Clock.monotonicNanoseconds
      if meeting.window.contains(now) { count.inWindow += UInt64(got) }
      count.total += UInt64(got)
      for index in 0..<got {
        let number = batch.sequence(index)
        if number < next { count.reordered += 1 } else { next = number + 1 }
      }
    }
    return count
  }

  private func send(_ path: Path, _ meeting: Meeting) throws(Failure) -> Sent {
    let local = try path.local(path.client)
    let remote = try path.remote(path.server)
    let socket = try Socket(.udp, family: local.family)
    try socket.setTimeout(milliseconds: 100)
    try socket.bind(local)
    guard meeting.waitForServer() else { throw Failure("start", "udp-stream: no server") }
    try socket.connect(remote)
    // A message holds 65507 bytes at most, and so many datagrams as fit.
    let segments = min(segments, 65_507 / size)
    if segments > 1 { try socket.set(Int32(IPPROTO_UDP), Self.udpSegment, Int32(size)) }
    let batch = try DatagramBatch(count: max(1, Self.sendBurst / segments), size: size * segments)
    var count = Sent()
    let window = meeting.openWindow(timing)
    let start = Clock.monotonicNanoseconds
    var now = start
    while now < window.until {
      var burst = batch.count
      if let rate {
        let due = (Int(Double(now - start) * rate / 1e9) - Int(count.total)) / segments
        guard due > 0 else {
          usleep(50)
          now = Clock.monotonicNanoseconds
          continue
        }
        burst = min(burst, due)
      }
      for index in 0..<burst {
        for segment in 0..<segments {
          let number = count.total + UInt64(index * segments + segment)
          batch.setSequence(index, offset: segment * size, number)
        }
      }
      let sent = batch.send(burst, on: socket.raw)
      now = Clock.monotonicNanoseconds
      guard sent >= 0 else {
        if isQuiet(sent) || isRefused(sent) || sent == -Int(ENOBUFS) { continue }
        throw Failure(
          "send", "datagrams from \(path.client.name)", errno: Errno(rawValue: Int32(-sent)),
          advice: segments > 1 && sent == -Int(EIO)
            ? "Before Linux 6.11 UDP_SEGMENT needs checksum offload at the interface." : nil)
      }
      count.total += UInt64(sent * segments)
      if window.contains(now) { count.inWindow += UInt64(sent * segments) }
    }
    return count
  }
}
