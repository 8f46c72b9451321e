// SPDX-License-Identifier: Apache-2.0
import Glibc
import LinuxSystem
import SystemPackage

/// Whole Ethernet frames on one interface (packet(7)), in the calling thread's namespace.
public struct PacketSocket: ~Copyable {
  private let descriptor: OwnedDescriptor

  /// struct sockaddr_ll, which Swift's C library does not offer.
  private struct Address {
    var family = UInt16(AF_PACKET)
    var protocolNumber = UInt16(3).bigEndian  // ETH_P_ALL
    var index: Int32
    var hardwareType: UInt16 = 0
    var packetType: UInt8 = 0
    var length: UInt8 = 6
    var octets: UInt64 = 0
  }

  public init(interface: String) throws {
    let number = if_nametoindex(interface)
    guard number != 0 else { throw Failure("find", interface, errno: .last) }
    let raw = socket(AF_PACKET, Int32(SOCK_RAW.rawValue | SOCK_CLOEXEC.rawValue), Int32(UInt16(3).bigEndian))
    guard raw >= 0 else { throw Failure("open", "a packet socket", errno: .last) }
    let descriptor = OwnedDescriptor(adopting: raw)
    var address = Address(index: Int32(number))
    let status = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(raw, $0, 20) }
    }
    guard status == 0 else { throw Failure("bind to", interface, errno: .last) }
    var size: Int32 = 1 << 22
    setsockopt(raw, SOL_SOCKET, SO_RCVBUFFORCE, &size, 4)
    self.descriptor = descriptor
  }

  public func send(_ frame: [UInt8]) throws {
    guard write(descriptor.raw, frame, frame.count) == frame.count else {
      throw Failure("send", "a frame of \(frame.count) bytes", errno: .last)
    }
  }

  /// The next frame that `isWanted`, or nil after `milliseconds`.
  public func receive(milliseconds: Int = 1000, where isWanted: ([UInt8]) -> Bool = { _ in true }) -> [UInt8]?
  {
    let deadline = Clock.monotonicNanoseconds + UInt64(milliseconds) * 1_000_000
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let now = Clock.monotonicNanoseconds
      guard now < deadline else { return nil }
      var waiting = pollfd(fd: descriptor.raw, events: Int16(POLLIN), revents: 0)
      guard poll(&waiting, 1, Int32((deadline - now) / 1_000_000) + 1) > 0 else { continue }
      let count = recv(descriptor.raw, &buffer, buffer.count, Int32(MSG_DONTWAIT))
      guard count > 0 else { continue }
      let frame = Array(buffer[..<count])
      if isWanted(frame) { return frame }
    }
  }
}
