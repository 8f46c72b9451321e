// SPDX-License-Identifier: Apache-2.0
import PacketHeaders

/// Frames as a container's stack would send them, built without the code under test.
enum Frames {
  static let a1 = MACAddress(value: 0x0200_5e00_5301)
  static let a2 = MACAddress(value: 0x0200_5e00_5302)
  static let b1 = MACAddress(value: 0x0200_5e00_5311)
  static let b2 = MACAddress(value: 0x0200_5e00_5312)
  static let kernelOnly = MACAddress(value: 0x0200_5e00_5320)
  static let unknown = MACAddress(value: 0x0200_5e00_53ff)
  static let a1v4 = IPv4Address("198.19.0.1")!
  static let b1v4 = IPv4Address("198.19.0.2")!
  static let a1v6 = IPv6Address(high: 0x2001_0002_0000_0000, low: 1)
  static let b1v6 = IPv6Address(high: 0x2001_0002_0000_0000, low: 2)

  /// What follows the IP header, given the sum over the pseudo-header for that protocol and length.
  struct Payload {
    var number: UInt8
    var build: (_ pseudoHeader: (UInt8, Int) -> InternetChecksum) -> [UInt8]
  }

  static func udp(
    _ data: [UInt8] = Array("culvert".utf8), from: UInt16 = 1234, to: UInt16 = 9, checksum: Bool = true,
    length: UInt16? = nil
  ) -> Payload {
    Payload(number: IPProtocol.udp) { pseudo in
      let count = UDPHeader.size + data.count
      var header = UDPHeader(source: from, destination: to, length: length ?? UInt16(count))
      if checksum {
        var sum = pseudo(IPProtocol.udp, count)
        sum.add((header.bytes + data).span.bytes)
        header.checksum = sum.complement == 0 ? 0xffff : sum.complement
      }
      return header.bytes + data
    }
  }

  static func tcp(_ data: [UInt8] = [], from: UInt16 = 40000, to: UInt16 = 80) -> Payload {
    Payload(number: IPProtocol.tcp) { pseudo in
      var bytes: [UInt8] = [
        UInt8(from >> 8), UInt8(from & 0xff), UInt8(to >> 8), UInt8(to & 0xff),
        1, 2, 3, 4, 5, 6, 7, 8, 0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0,
      ]
      bytes += data
      put(&bytes, 16, pseudo(IPProtocol.tcp, bytes.count))
      return bytes
    }
  }

  static func icmp(_ data: [UInt8] = [1, 2, 3], v6: Bool = false) -> Payload {
    Payload(number: v6 ? IPProtocol.icmpv6 : IPProtocol.icmp) { pseudo in
      var bytes: [UInt8] = [v6 ? 128 : 8, 0, 0, 0, 0x12, 0x34, 0, 1] + data
      put(&bytes, 2, v6 ? pseudo(IPProtocol.icmpv6, bytes.count) : InternetChecksum())
      return bytes
    }
  }

  static func raw(_ number: UInt8, _ bytes: [UInt8]) -> Payload {
    Payload(number: number) { _ in bytes }
  }

  private static func put(
    _ bytes: inout [UInt8], _ offset: Int, _ start: InternetChecksum = InternetChecksum()
  ) {
    var sum = start
    sum.add(bytes.span.bytes)
    bytes[offset] = UInt8(sum.complement >> 8)
    bytes[offset + 1] = UInt8(sum.complement & 0xff)
  }

  static func v4(
    _ payload: Payload = udp(), from source: MACAddress = a1, to destination: MACAddress = b1,
    tos: UInt8 = 0, ttl: UInt8 = 64, fragment: UInt16 = 0, options: [UInt8] = [],
    addresses: (IPv4Address, IPv4Address) = (a1v4, b1v4)
  ) -> [UInt8] {
    let l4 = payload.build {
      .pseudoHeader(source: addresses.0, destination: addresses.1, protocol: $0, length: $1)
    }
    let header = IPv4Header(
      tos: tos, totalLength: UInt16(IPv4Header.size + options.count + l4.count), identification: 7,
      fragment: fragment, ttl: ttl, protocol: payload.number, source: addresses.0, destination: addresses.1)
    var ip = header.bytes + options
    if !options.isEmpty {
      ip[0] = 0x40 | UInt8(ip.count / 4)
      ip[10] = 0
      ip[11] = 0
      put(&ip, 10)
    }
    return EthernetHeader(destination: destination, source: source, type: EthernetHeader.ipv4).bytes + ip + l4
  }

  static func v6(
    _ payload: Payload = udp(), from source: MACAddress = a1, to destination: MACAddress = b1,
    trafficClass: UInt8 = 0, hopLimit: UInt8 = 64, flowLabel: UInt32 = 0, extensions: [UInt8] = [],
    next: UInt8? = nil, addresses: (IPv6Address, IPv6Address) = (a1v6, b1v6)
  ) -> [UInt8] {
    let l4 = payload.build {
      .pseudoHeader(source: addresses.0, destination: addresses.1, protocol: $0, length: $1)
    }
    let header = IPv6Header(
      trafficClass: trafficClass, flowLabel: flowLabel, payloadLength: UInt16(extensions.count + l4.count),
      nextHeader: next ?? payload.number, hopLimit: hopLimit, source: addresses.0, destination: addresses.1)
    return EthernetHeader(destination: destination, source: source, type: EthernetHeader.ipv6).bytes
      + header.bytes + extensions + l4
  }
}

/// The outer headers, as the kernel's VXLAN device writes them.
struct Outer {
  static let uplink = MACAddress(value: 0x0200_5e00_53a0)
  static let nextHop = MACAddress(value: 0x0200_5e00_53b0)
  static let local = IPv4Address("198.18.0.1")!
  static let remote = IPv4Address("198.18.0.2")!
  static let otherRemote = IPv4Address("198.18.0.3")!
  static let vni: UInt32 = 42

  var destination = uplink
  var sourceMAC = nextHop
  var source = remote
  var target = local
  var tos: UInt8 = 0
  var ttl: UInt8 = 64
  var fragment: UInt16 = 0
  var identification: UInt16 = 0
  var port: UInt16 = 50000
  var udpPort = VXLANHeader.port
  var vxlan = VXLANHeader(vni: vni)
  var checksum = false

  /// As this host sends.
  static var sent: Outer {
    Outer(destination: nextHop, sourceMAC: uplink, source: local, target: remote)
  }

  func around(_ inner: [UInt8]) -> [UInt8] {
    let udpLength = UDPHeader.size + VXLANHeader.size + inner.count
    var udp = UDPHeader(source: port, destination: udpPort, length: UInt16(udpLength))
    if checksum {
      var sum = InternetChecksum.pseudoHeader(
        source: source, destination: target, protocol: IPProtocol.udp, length: udpLength)
      sum.add((udp.bytes + vxlan.bytes + inner).span.bytes)
      udp.checksum = sum.complement == 0 ? 0xffff : sum.complement
    }
    let ip = IPv4Header(
      tos: tos, totalLength: UInt16(IPv4Header.size + udpLength), identification: identification,
      fragment: fragment, ttl: ttl, protocol: IPProtocol.udp, source: source, destination: target)
    return EthernetHeader(destination: destination, source: sourceMAC, type: EthernetHeader.ipv4).bytes
      + ip.bytes + udp.bytes + vxlan.bytes + inner
  }

  /// The same with what a sender may choose taken from `frame`.
  func choosing(from frame: [UInt8]) -> Outer {
    var copy = self
    copy.identification = IPv4Header(frame, at: 14)?.identification ?? 0
    copy.port = UDPHeader(frame, at: 34)?.source ?? 0
    return copy
  }
}
