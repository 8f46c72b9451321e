// SPDX-License-Identifier: Apache-2.0
import PacketHeaders
import TestSupport
import Testing

@Suite struct ChecksumTests {
  /// RFC 1071 section 3's example.
  @Test func rfc1071() {
    let bytes: [UInt8] = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]
    var checksum = InternetChecksum()
    checksum.add(bytes.span.bytes)
    #expect(checksum.folded == 0xddf2)
    #expect(checksum.complement == 0x220d)
  }

  /// RFC 1624 section 4's data: the header that its predecessors' equations got wrong.
  @Test func rfc1624() {
    var checksum = InternetChecksum()
    checksum.add(UInt16(0xcd7a))
    checksum.add(UInt16(0x5555))
    #expect(checksum.complement == 0xdd2f)
    checksum = InternetChecksum()
    checksum.add(UInt16(0xcd7a))
    checksum.add(UInt16(0x3285))
    #expect(checksum.folded == 0xffff)
  }

  /// The definition: 16-bit words in network order, carries added at each step.
  static func slow(_ bytes: some Sequence<UInt8>) -> UInt16 {
    var sum: UInt32 = 0
    for (index, byte) in bytes.enumerated() {
      sum += index % 2 == 0 ? UInt32(byte) << 8 : UInt32(byte)
      if sum > 0xffff { sum = sum & 0xffff + 1 }
    }
    return UInt16(sum)
  }

  @Test(arguments: [0, 1, 2, 3, 4, 5, 7, 8, 31, 32, 33, 63, 64, 65, 127, 1499, 1500, 9001, 70_000])
  func equalsDefinition(count: Int) {
    var generator = SplitMix(state: testSeed)
    for fill in [UInt8?.none, 0x00, 0xff] {
      let bytes = (0..<count).map { _ in fill ?? UInt8.random(in: 0...255, using: &generator) }
      for start in 0..<min(4, count + 1) {
        var checksum = InternetChecksum()
        checksum.add(bytes.span.bytes.extracting(droppingFirst: start))
        #expect(checksum.folded == Self.slow(bytes.dropFirst(start)), "\(count) bytes from \(start)")
      }
    }
  }

  @Test func partsAddUp() {
    let bytes = (0..<300).map { UInt8(truncatingIfNeeded: $0 &* 37) }
    var whole = InternetChecksum()
    whole.add(bytes.span.bytes)
    for cut in stride(from: 0, through: 300, by: 2) {
      var first = InternetChecksum()
      var second = InternetChecksum()
      first.add(bytes.span.bytes.extracting(first: cut))
      second.add(bytes.span.bytes.extracting(droppingFirst: cut))
      first.add(second)
      #expect(first.folded == whole.folded)
    }
  }
}
