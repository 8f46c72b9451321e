// SPDX-License-Identifier: Apache-2.0
import Glibc
import LinuxSystem
import Synchronization
import SystemPackage

/// Workload `all-to-all`: every station sends `size` bytes to every other and waits for as many from each, again and
/// again, over a TCP connection between each two (MPI_Alltoall's exchange).
public struct AllToAll: Sendable {
  /// Bytes to each, 1 to 16384: all of an exchange fits into the sockets' buffers, so that nobody waits to send.
  public var size: Int
  public var timing: LoadTiming

  public static let stationLimit = 64

  public init(size: Int, timing: LoadTiming) {
    self.size = size
    self.timing = timing
  }

  public struct Report: Sendable {
    /// Of an exchange, as the first station sees it.
    public var latency: LatencyHistogram
    public var exchangesPerSecond: Double
  }

  private static let patienceMilliseconds = 50

  /// - Parameter port: station `index` listens at this one plus `index`.
  public func run(_ stations: [Station], port: UInt16) throws(Failure) -> Report {
    guard (1...16_384).contains(size), (2...Self.stationLimit).contains(stations.count) else {
      throw Failure(
        "exchange", "\(size) bytes between \(stations.count) stations",
        advice: "1 to 16384 bytes, 2 to \(Self.stationLimit) stations.", status: .usage)
    }
    let meeting = Meeting(timing: timing, flows: stations.count)
    let first = Mutex<Report?>(nil)
    var threads: [DedicatedThread] = []
    let load = self
    do throws(Failure) {
      for index in stations.indices {
        threads.append(
          try DedicatedThread {
            let result = Result { () throws(Failure) -> Report? in
              try stations[index].enter()
              return try load.take(part: index, of: stations, port, meeting)
            }
            switch result {
            case .failure(let failure): meeting.fail(failure)
            case .success(let report): if let report { first.withLock { $0 = report } }
            }
            meeting.clientIsDone()
          })
      }
    } catch {
      meeting.fail(error)
    }
    for thread in threads { thread.join() }
    if let failure = meeting.firstFailure { throw failure }
    guard let report = first.withLock({ $0 }) else {
      throw Failure(
        "exchange", "\(size) bytes between \(stations.count) stations", advice: "It took too long.")
    }
    return report
  }

  /// The first one's report; nil of the others.
  private func take(
    part index: Int, of stations: [Station], _ port: UInt16, _ meeting: Meeting
  ) throws(Failure) -> Report? {
    let others = try connect(index, stations, port, meeting)
    let count = stations.count - 1
    let out = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 64)
    let into = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 64)
    defer {
      out.deallocate()
      into.deallocate()
    }
    _ = out.initializeMemory(as: UInt8.self, repeating: 0)
    let window = meeting.openWindow(timing)
    var latency = LatencyHistogram()
    var (began, isLast) = (Clock.monotonicNanoseconds, false)
    while !isLast {
      // The first station's word that this exchange is the last one.
      if index == 0 && began >= window.until { (out[0], isLast) = (1, true) }
      for other in 0..<count where !others.sockets[other].sendAll(out, until: meeting) {
        throw broken(stations[index])
      }
      for other in 0..<count {
        guard others.sockets[other].receiveAll(into, until: meeting) else { throw broken(stations[index]) }
        if others.isFirst(other) && into[0] == 1 { isLast = true }
      }
      let now = Clock.monotonicNanoseconds
      if window.contains(began) && !isLast { latency.record(nanoseconds: now - began) }
      began = now
    }
    return index == 0
      ? Report(latency: latency, exchangesPerSecond: Double(latency.count) / timing.duration) : nil
  }

  private func broken(_ station: Station) -> Failure {
    Failure("exchange", "with the others at \(station.name)", advice: "A connection broke, or took too long.")
  }

  /// Connections to the others of one station.
  private final class Others {
    var sockets: [Held] = []
    /// Who is at the other end.
    var indices: [Int] = []
    func isFirst(_ other: Int) -> Bool { indices[other] == 0 }
  }

  private final class Held {
    let socket: Socket
    init(_ socket: consuming Socket) { self.socket = socket }
    func sendAll(_ buffer: UnsafeMutableRawBufferPointer, until meeting: Meeting) -> Bool {
      socket.sendAll(buffer, until: meeting)
    }
    func receiveAll(_ buffer: UnsafeMutableRawBufferPointer, until meeting: Meeting) -> Bool {
      socket.receiveAll(buffer, until: meeting)
    }
  }

  /// To those before it a station connects, those after it connect to it.
  private func connect(
    _ index: Int, _ stations: [Station], _ port: UInt16, _ meeting: Meeting
  ) throws(Failure) -> Others {
    let me = stations[index]
    let local = Endpoint(.v4(me.ipv4), port: port + UInt16(index))
    let listener = try Socket(.tcp, family: local.family)
    try listener.setTimeout(milliseconds: Self.patienceMilliseconds)
    try listener.bind(local)
    try listener.listen(backlog: Int32(stations.count))
    meeting.serverIsReady()
    guard meeting.waitForServer() else { throw Failure("start", "all-to-all: not all stations came up") }
    let word = UnsafeMutableRawBufferPointer.allocate(byteCount: 1, alignment: 1)
    defer { word.deallocate() }
    let others = Others()
    for other in 0..<index {
      let socket = try Socket(.tcp, family: local.family)
      try prepare(socket)
      try socket.connectPatiently(
        Endpoint(.v4(stations[other].seenAs ?? stations[other].ipv4), port: port + UInt16(other)),
        until: meeting)
      word[0] = UInt8(index)
      guard socket.sendAll(word, until: meeting) else { throw broken(me) }
      others.sockets.append(Held(socket))
      others.indices.append(other)
    }
    while others.sockets.count < stations.count - 1 {
      guard !meeting.isOver else { throw broken(me) }
      guard let socket = try listener.acceptIfAny() else { continue }
      try prepare(socket)
      guard socket.receiveAll(word, until: meeting) else { throw broken(me) }
      others.sockets.append(Held(socket))
      others.indices.append(Int(word[0]))
    }
    return others
  }

  private func prepare(_ socket: borrowing Socket) throws(Failure) {
    try socket.setTimeout(milliseconds: Self.patienceMilliseconds)
    try socket.sendAtOnce()
  }
}
