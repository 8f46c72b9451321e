// SPDX-License-Identifier: Apache-2.0
import LinuxSystem

/// Workload `bulk`: two connections at full speed, one up from the client and one down to it, at once.
public struct BulkStreams: Sendable {
  /// Bytes per write.
  public var size: Int
  public var timing: LoadTiming

  public init(size: Int, timing: LoadTiming) {
    self.size = size
    self.timing = timing
  }

  /// Received inside the window, bytes/s.
  public struct Report: Sendable, Equatable {
    public var up: Double
    public var down: Double
  }

  public func run(_ path: Path) throws(Failure) -> Report {
    let stream = TCPStream(size: size, timing: timing)
    let isUp: @Sendable (Path) -> Bool = { $0.port == path.port }
    let (servers, clients) = try path.run(
      timing, flows: 2,
      server: { (path, meeting) throws(Failure) -> UInt64 in
        let socket = try stream.accept(path, meeting)
        if isUp(path) { return try stream.receive(on: socket, path.server, meeting).inWindow }
        _ = try stream.send(on: socket, path.server, meeting)
        return 0
      },
      client: { (path, meeting) throws(Failure) -> UInt64 in
        let socket = try stream.connect(path, meeting)
        _ = meeting.openWindow(stream.timing)
        if !isUp(path) { return try stream.receive(on: socket, path.client, meeting).inWindow }
        _ = try stream.send(on: socket, path.client, meeting)
        return 0
      })
    return Report(up: Double(servers[0]) / timing.duration, down: Double(clients[1]) / timing.duration)
  }
}
