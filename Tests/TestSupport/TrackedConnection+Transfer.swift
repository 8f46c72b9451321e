// SPDX-License-Identifier: Apache-2.0
import Glibc
import LinuxSystem

extension TrackedConnection {
  /// Sends `bytes` one way and reads them at the other end; how many arrived before nothing moved for `patience` seconds.
  public static func transfer(_ bytes: Int, from: Int32, to: Int32, patience: Double = 1) -> Int {
    var chunk = [UInt8](repeating: 0x5a, count: 65_536)
    var (sent, received) = (0, 0)
    var moved = Clock.monotonicNanoseconds
    while received < bytes, Clock.monotonicNanoseconds - moved < UInt64(patience * 1e9) {
      var ends = [
        pollfd(fd: to, events: Int16(POLLIN), revents: 0),
        pollfd(fd: from, events: sent < bytes ? Int16(POLLOUT) : 0, revents: 0),
      ]
      guard poll(&ends, 2, 50) > 0 else { continue }
      if ends[1].revents & Int16(POLLOUT) != 0 {
        let count = send(from, &chunk, min(chunk.count, bytes - sent), Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
        if count > 0 { sent += count }
      }
      let count = recv(to, &chunk, chunk.count, Int32(MSG_DONTWAIT))
      if count > 0 {
        received += count
        moved = Clock.monotonicNanoseconds
      }
    }
    return received
  }
}
