// SPDX-License-Identifier: Apache-2.0
import Glibc
import LinuxSystem

/// A UDP socket of a test; every wait on it ends.
public struct DatagramSocket: ~Copyable {
  private let descriptor: OwnedDescriptor
  private static let udp: Int32 = 17
  private static let udpSegment: Int32 = 103

  /// In the calling thread's namespace, bound to an address.
  public init(_ address: String, _ port: UInt16) throws {
    let place = try SocketAddress(address, port)
    let raw = socket(place.family, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    guard raw >= 0 else { throw Failure("open", "a socket", errno: .last) }
    let descriptor = OwnedDescriptor(adopting: raw)
    var size: Int32 = 1 << 25
    setsockopt(raw, SOL_SOCKET, SO_RCVBUFFORCE, &size, 4)
    guard place.with({ bind(raw, $0, $1) }) == 0 else { throw Failure("bind to", address, errno: .last) }
    self.descriptor = descriptor
  }

  /// `segment`: the kernel cuts what is sent into datagrams of so many bytes (UDP_SEGMENT, udp(7)).
  public func send(_ bytes: [UInt8], to address: String, _ port: UInt16, segment: Int32? = nil) throws {
    if var segment {
      guard setsockopt(descriptor.raw, Self.udp, Self.udpSegment, &segment, 4) == 0 else {
        throw Failure("set", "UDP_SEGMENT", errno: .last)
      }
    }
    let place = try SocketAddress(address, port)
    let count = place.with { sendto(descriptor.raw, bytes, bytes.count, 0, $0, $1) }
    guard count == bytes.count else { throw Failure("send", "\(bytes.count) bytes", errno: .last) }
  }

  /// Bytes that are there or come until so many have, or for a while none does.
  public func receive(_ bytes: Int, quiet milliseconds: Int32 = 500) -> Int {
    var buffer = [UInt8](repeating: 0, count: 65536)
    var total = 0
    while total < bytes {
      var waiting = pollfd(fd: descriptor.raw, events: Int16(POLLIN), revents: 0)
      guard poll(&waiting, 1, milliseconds) > 0 else { break }
      total += max(0, recv(descriptor.raw, &buffer, buffer.count, Int32(MSG_DONTWAIT)))
    }
    return total
  }
}
