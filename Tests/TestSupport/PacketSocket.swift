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
    var wanted: Int32 = 1
    setsockopt(raw, Self.solPacket, Self.auxiliaryData, &wanted, 4)
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
      guard let frame = take(&buffer) else { continue }
      if isWanted(frame) { return frame }
    }
  }

  /// All that are wanted and come until so many are there, or none has come for `milliseconds`.
  public func receive(
    _ count: Int, quiet milliseconds: Int = 300, where isWanted: ([UInt8]) -> Bool = { _ in true }
  ) -> [[UInt8]] {
    var frames: [[UInt8]] = []
    while frames.count < count, let frame = receive(milliseconds: milliseconds, where: isWanted) {
      frames.append(frame)
    }
    return frames
  }

  /// SOL_PACKET and what of it is used: packet(7), <linux/if_packet.h>.
  private static let solPacket: Int32 = 263
  private static let auxiliaryData: Int32 = 8

  /// struct tpacket_auxdata.
  private struct AuxiliaryData {
    var status: UInt32 = 0
    var length: UInt32 = 0
    var captured: UInt32 = 0
    var mac: UInt16 = 0
    var network: UInt16 = 0
    var tag: UInt16 = 0
    var tagType: UInt16 = 0
    /// TP_STATUS_VLAN_VALID
    var hasTag: Bool { status & 1 << 4 != 0 }
  }

  /// One frame as it is on the wire: a VLAN tag that the kernel keeps beside it is put back.
  private func take(_ buffer: inout [UInt8]) -> [UInt8]? {
    var control = [UInt64](repeating: 0, count: 16)
    var count = 0
    buffer.withUnsafeMutableBytes { bytes in
      control.withUnsafeMutableBytes { control in
        var vector = iovec(iov_base: bytes.baseAddress, iov_len: bytes.count)
        withUnsafeMutablePointer(to: &vector) { vector in
          var message = msghdr()
          message.msg_iov = vector
          message.msg_iovlen = 1
          message.msg_control = control.baseAddress
          message.msg_controllen = control.count
          count = recvmsg(descriptor.raw, &message, Int32(MSG_DONTWAIT))
        }
      }
    }
    guard count > 0 else { return nil }
    let frame = Array(buffer[..<count])
    let (header, data) = control.withUnsafeBytes {
      (
        $0.loadUnaligned(as: cmsghdr.self),
        $0.loadUnaligned(fromByteOffset: MemoryLayout<cmsghdr>.stride, as: AuxiliaryData.self)
      )
    }
    guard header.cmsg_level == Self.solPacket, header.cmsg_type == Self.auxiliaryData, data.hasTag else {
      return frame
    }
    return frame[..<12] + be(data.tagType) + be(data.tag) + frame[12...]
  }
}
