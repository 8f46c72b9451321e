// SPDX-License-Identifier: Apache-2.0
import PacketHeaders
import Testing

@Suite struct HeaderTests {
  @Test func ethernet() throws {
    let header = EthernetHeader(
      destination: try #require(MACAddress("02:00:5e:00:53:01")),
      source: try #require(MACAddress("02:00:5e:00:53:02")), type: EthernetHeader.ipv6)
    #expect(header.bytes == [2, 0, 0x5e, 0, 0x53, 1, 2, 0, 0x5e, 0, 0x53, 2, 0x86, 0xdd])
    #expect(EthernetHeader(header.bytes) == header)
    #expect(EthernetHeader(Array(header.bytes.dropLast())) == nil)
  }

  @Test func ipv4() throws {
    let header = IPv4Header(
      totalLength: 115, fragment: IPv4Header.dontFragment, protocol: IPProtocol.udp,
      source: try #require(IPv4Address("192.168.0.1")),
      destination: try #require(IPv4Address("192.168.0.199")))
    // A header whose checksum is computed by hand in many a textbook: 0xb861.
    let bytes: [UInt8] = [
      0x45, 0x00, 0x00, 0x73,  // version, TOS, length
      0x00, 0x00, 0x40, 0x00,  // identification, DF
      0x40, 0x11, 0xb8, 0x61,  // TTL, UDP, checksum
      0xc0, 0xa8, 0x00, 0x01, 0xc0, 0xa8, 0x00, 0xc7,
    ]
    #expect(header.bytes == bytes)
    let parsed = try #require(IPv4Header(bytes))
    #expect(parsed == header)
    #expect(parsed.hasValidChecksum)
    #expect(!parsed.isFragment)
    var broken = bytes
    broken[8] -= 1
    #expect(try #require(IPv4Header(broken)).hasValidChecksum == false)
    broken[0] = 0x46
    #expect(IPv4Header(broken) == nil)
    #expect(IPv4Header(Array(bytes.dropLast())) == nil)
  }

  @Test func ipv6() throws {
    let header = IPv6Header(
      trafficClass: 0xb9, flowLabel: 0x12345, payloadLength: 0x0102, nextHeader: IPProtocol.tcp,
      source: IPv6Address(high: 0x2001_0002_0000_0000, low: 1),
      destination: IPv6Address(high: 0x2001_0002_0000_0000, low: 0xff02))
    #expect(
      header.bytes == [
        0x6b, 0x91, 0x23, 0x45, 0x01, 0x02, 0x06, 0x40,
        0x20, 0x01, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
        0x20, 0x01, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 2,
      ])
    #expect(IPv6Header(header.bytes) == header)
    #expect(IPv6Header([UInt8](repeating: 0x45, count: 40)) == nil)
  }

  @Test func udpAndVXLAN() {
    let udp = UDPHeader(source: 0xc350, destination: VXLANHeader.port, length: 58, checksum: 0x1234)
    #expect(udp.bytes == [0xc3, 0x50, 0x12, 0xb5, 0x00, 0x3a, 0x12, 0x34])
    #expect(UDPHeader(udp.bytes) == udp)
    let vxlan = VXLANHeader(vni: 0xabcdef)
    #expect(vxlan.bytes == [0x08, 0, 0, 0, 0xab, 0xcd, 0xef, 0])
    #expect(VXLANHeader(vxlan.bytes) == vxlan)
    #expect(VXLANHeader(vni: 1, flags: 0x8800_0001, reserved: 9).bytes == [0x88, 0, 0, 1, 0, 0, 1, 9])
  }

  @Test func offsets() {
    let packet = [UInt8](repeating: 0, count: 3) + VXLANHeader(vni: 42).bytes
    #expect(VXLANHeader(packet, at: 3)?.vni == 42)
    #expect(VXLANHeader(packet, at: 4) == nil)
    #expect(VXLANHeader(packet, at: 12) == nil)
  }
}

@Suite struct AddressTextTests {
  @Test(arguments: [
    ("2001:2:0:1::1", "2001:2:0:1::1"), ("::", "::"), ("::1", "::1"), ("fe80::", "fe80::"), ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"),
    ("2001:0002:0:0:1:0:0:0", "2001:2:0:0:1::"), ("1:0:3:4:5:6:7:8", "1:0:3:4:5:6:7:8"), ("FF02::A", "ff02::a"),
  ])
  func ipv6IsReadAndWritten(text: String, written: String) throws {
    let address = try #require(IPv6Address(text))
    #expect(address.description == written && IPv6Address(address.octets) == address)
  }

  @Test(arguments: ["", ":", ":::", "1::2::3", "1:2:3", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7::8", "12345::", "g::", "1::+2"])
  func whatIsNoIPv6AddressIsRefused(text: String) { #expect(IPv6Address(text) == nil) }

  @Test func networksAreTheFirstBits() {
    let address = IPAddress("2001:2:ff:ff:ffff::1")!
    for (prefix, network) in [(0, "::"), (32, "2001:2::"), (64, "2001:2:ff:ff::"), (65, "2001:2:ff:ff:8000::")] as [(UInt8, String)] {
      #expect(address.network(prefix) == IPAddress(network))
    }
    #expect(address.network(128) == address)
    #expect(IPAddress("198.18.7.9")!.network(16) == IPAddress("198.18.0.0"))
  }
}
