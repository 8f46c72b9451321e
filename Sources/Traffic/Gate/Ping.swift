// SPDX-License-Identifier: Apache-2.0
import Glibc
import LinuxSystem
import SystemPackage

/// ICMP echo (RFC 792, RFC 4443) from the calling thread's namespace.
struct Ping: Sendable {
  var attempts: Int
  /// Bytes after the echo header.
  var bytes: Int
  /// Before another attempt.
  var timeoutMilliseconds = 250

  /// Throws when no attempt was answered with what it sent.
  func run(_ path: Path) throws(Failure) {
    let endpoint = try path.pinged(path.server)
    let isIPv6 = endpoint.family == AF_INET6
    let socket = try Socket(.icmp, family: endpoint.family)
    try socket.setTimeout(milliseconds: timeoutMilliseconds)
    var target = endpoint
    target.port = 0
    try socket.connect(target)
    let mark = UInt16(truncatingIfNeeded: Clock.monotonicNanoseconds) | 1
    let reply = UnsafeMutableRawBufferPointer.allocate(byteCount: 2048, alignment: 8)
    defer { reply.deallocate() }
    var last = "no answer"
    for attempt in 1...attempts {
      let request = message(type: isIPv6 ? 128 : 8, mark: mark, sequence: UInt16(attempt), checksum: !isIPv6)
      let sent = request.withUnsafeBytes { socket.send($0) }
      if sent < 0 {
        last = Errno(rawValue: Int32(-sent)).description
        usleep(UInt32(min(100, timeoutMilliseconds)) * 1000)
        continue
      }
      let limit = Clock.monotonicNanoseconds + 500_000_000
      while Clock.monotonicNanoseconds < limit {
        let got = socket.receive(reply)
        if got < 0 {
          if !isQuiet(got) { last = Errno(rawValue: Int32(-got)).description }
          break
        }
        // A raw IPv4 socket gives the IP header too (raw(7)), an IPv6 one does not.
        let header = isIPv6 ? 0 : Int(reply[0] & 0xf) * 4
        guard got == header + request.count, reply[header] == (isIPv6 ? 129 : 0),
          reply[(header + 4)..<(header + 8)].elementsEqual(request[4..<8])
        else { continue }
        if reply[(header + 8)..<got].elementsEqual(request[8...]) { return }
        last = "an answer with other bytes"
      }
    }
    throw Failure("ping", "\(path.server.name) from \(path.client.name): \(last)")
  }

  private func message(type: UInt8, mark: UInt16, sequence: UInt16, checksum: Bool) -> [UInt8] {
    var octets: [UInt8] = [
      type, 0, 0, 0, UInt8(mark >> 8), UInt8(mark & 0xff), UInt8(sequence >> 8), UInt8(sequence & 0xff),
    ]
    var random = RandomStream(seed: UInt64(mark) << 16 | UInt64(sequence))
    for _ in 0..<bytes { octets.append(random.next()) }
    // The kernel fills in ICMPv6's checksum, which covers a pseudo-header (RFC 3542 section 3.1).
    guard checksum else { return octets }
    var sum: UInt32 = 0
    for index in stride(from: 0, to: octets.count, by: 2) {
      sum += UInt32(octets[index]) << 8 | (index + 1 < octets.count ? UInt32(octets[index + 1]) : 0)
    }
    while sum >> 16 != 0 { sum = sum & 0xffff + sum >> 16 }
    octets[2] = UInt8(truncatingIfNeeded: ~sum >> 8)
    octets[3] = UInt8(truncatingIfNeeded: ~sum)
    return octets
  }
}
