// SPDX-License-Identifier: Apache-2.0
import TestSupport
import Testing

@testable import DataPlane

/// Against sums by RFC 1071's definition, word by word in network order.
struct ChecksumTests {
  private static func reference(_ bytes: some Sequence<UInt8>) -> UInt16 {
    var sum: UInt64 = 0
    for (index, byte) in bytes.enumerated() { sum += UInt64(byte) << (index % 2 == 0 ? 8 : 0) }
    while sum >> 16 != 0 { sum = sum & 0xffff + sum >> 16 }
    return UInt16(sum)
  }

  private static func withMemory<T>(_ bytes: [UInt8], _ body: (UnsafeMutableRawPointer) -> T) -> T {
    var bytes = bytes
    return bytes.withUnsafeMutableBytes { body($0.baseAddress!) }
  }

  @Test func sumsOfAnyLengthAtAnyAlignment() {
    for length in Array(1...100) + [1499, 1500, 9000, 65_535] {
      for shift in 0..<4 {
        let bytes = drawn(length + shift)
        let sum = Self.withMemory(bytes) { Checksum.fold(Checksum.sum($0 + shift, length)) }
        #expect(
          UInt16(bigEndian: sum) == Self.reference(bytes.dropFirst(shift)), "\(length) bytes at \(shift)")
      }
    }
    let ones = [UInt8](repeating: 0xff, count: 65_535)
    #expect(
      Self.withMemory(ones) { UInt16(bigEndian: Checksum.fold(Checksum.sum($0, ones.count))) }
        == Self.reference(ones))
  }

  struct Datagram {
    var isIPv4: Bool
    var protocolNumber: UInt8
    var bytes: [UInt8]
    var l4: Int { 14 + (isIPv4 ? 20 : 40) }
    var field: Int { l4 + (protocolNumber == 6 ? 16 : 6) }

    init(isIPv4: Bool, protocolNumber: UInt8, payload: Int) {
      self.isIPv4 = isIPv4
      self.protocolNumber = protocolNumber
      let count = (protocolNumber == 6 ? 20 : 8) + payload
      let ip: [UInt8]
      if isIPv4 {
        let total = 20 + count
        ip =
          [0x45, 0, UInt8(total >> 8), UInt8(total & 0xff), 0, 0, 0x40, 0, 64, protocolNumber, 0, 0]
          + drawn(8)
      } else {
        ip = [0x60, 0, 0, 0, UInt8(count >> 8), UInt8(count & 0xff), protocolNumber, 64] + drawn(32)
      }
      bytes = drawn(12) + (isIPv4 ? [8, 0] : [0x86, 0xdd]) + ip + drawn(count)
      if protocolNumber == 17 {
        bytes[l4 + 4] = UInt8(count >> 8)
        bytes[l4 + 5] = UInt8(count & 0xff)
      }
    }

    /// RFC 9293 section 3.1, RFC 8200 section 8.1.
    var pseudoHeader: [UInt8] {
      let count = bytes.count - l4
      let addresses = isIPv4 ? bytes[26..<34] : bytes[22..<54]
      return addresses + [0, protocolNumber, UInt8(count >> 8), UInt8(count & 0xff)]
    }
    var isRight: Bool { ChecksumTests.reference(pseudoHeader + bytes[l4...]) == 0xffff }
    mutating func put(_ value: UInt16) {
      bytes[field] = UInt8(value >> 8)
      bytes[field + 1] = UInt8(value & 0xff)
    }
    /// What a sender leaves to its device (Documentation/networking/checksum-offloads.rst).
    mutating func leaveToDevice() { put(ChecksumTests.reference(pseudoHeader)) }
    mutating func complete() {
      put(0)
      put(~ChecksumTests.reference(pseudoHeader + bytes[l4...]))
    }
  }

  private static func completed(_ bytes: [UInt8]) -> [UInt8] {
    var bytes = bytes
    bytes.withUnsafeMutableBytes { InnerFrame($0.baseAddress!, bytes: $0.count).completeChecksum() }
    return bytes
  }

  @Test(arguments: [true, false], [6, 17] as [UInt8])
  func whatWasLeftToTheDeviceIsCompletedAndTheRestIsLeftAlone(isIPv4: Bool, protocolNumber: UInt8) {
    for payload in Array(0...67) + [1400] {
      var datagram = Datagram(isIPv4: isIPv4, protocolNumber: protocolNumber, payload: payload)
      datagram.leaveToDevice()
      var once = datagram
      once.bytes = Self.completed(datagram.bytes)
      #expect(once.isRight, "\(payload) bytes")
      var expected = datagram
      expected.complete()
      expected.bytes.replaceSubrange(
        expected.field..<expected.field + 2, with: once.bytes[once.field..<once.field + 2])
      #expect(once.bytes == expected.bytes, "nothing but the field changes")
      #expect(Self.completed(once.bytes) == once.bytes, "a complete one stays")
      // A wrong one is the receiver's to find.
      var wrong = once
      wrong.bytes[wrong.field] ^= 0x55
      #expect(Self.completed(wrong.bytes) == wrong.bytes)
    }
  }

  /// RFC 768: a UDP checksum that comes out as zero is sent as ones; zero itself means none.
  @Test func zeroIsNoChecksum() {
    var datagram = Datagram(isIPv4: true, protocolNumber: 17, payload: 2)
    datagram.leaveToDevice()
    // The payload that makes the sum ones.
    datagram.bytes[datagram.l4 + 8] = 0
    datagram.bytes[datagram.l4 + 9] = 0
    let sum = ~Self.reference(datagram.bytes[datagram.l4...])
    datagram.bytes[datagram.l4 + 8] = UInt8(sum >> 8)
    datagram.bytes[datagram.l4 + 9] = UInt8(sum & 0xff)
    let completed = Self.completed(datagram.bytes)
    #expect(Array(completed[datagram.field..<datagram.field + 2]) == [0xff, 0xff])
    datagram.put(0)
    #expect(Self.completed(datagram.bytes) == datagram.bytes)
  }

  @Test func fragmentsAreLeftAlone() {
    var datagram = Datagram(isIPv4: true, protocolNumber: 17, payload: 100)
    datagram.leaveToDevice()
    datagram.bytes[20] = 0x20
    #expect(Self.completed(datagram.bytes) == datagram.bytes)
  }
}
