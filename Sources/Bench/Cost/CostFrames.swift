// SPDX-License-Identifier: Apache-2.0
import FastPath
import PacketHeaders
import Traffic

/// Frames for single steps: of the container in the table of `CostPrograms`, and as the wire brings them to it.
enum CostFrames {
  enum IP: Int, CaseIterable { case v4 = 4, v6 = 6 }

  static let remote = CostPrograms.remote(0)
  private static let there = IPv6Address(high: 0x2001_0002_0000_0000, low: 2)
  private static let here = IPv6Address(high: 0x2001_0002_0000_0000, low: 1)

  /// UDP of `bytes` from the Ethernet header on, checksums complete.
  static func inner(
    _ ip: IP = .v4, bytes: Int = 64, from source: MACAddress = CostPrograms.container,
    to destination: MACAddress = remote
  ) -> [UInt8] {
    switch ip {
    case .v4:
      return FrameTemplate.udp(
        from: FlowEnd(mac: source, ipv4: IPv4Address("198.19.0.1")!, port: 1234),
        to: FlowEnd(mac: destination, ipv4: IPv4Address("198.19.0.2")!, port: 9), size: bytes
      ).octets
    case .v6:
      let udpBytes = bytes - EthernetHeader.size - IPv6Header.size
      var udp = UDPHeader(source: 1234, destination: 9, length: UInt16(udpBytes))
      var sum = InternetChecksum.pseudoHeader(
        source: here, destination: there, protocol: IPProtocol.udp, length: udpBytes)
      sum.add(udp.bytes.span.bytes)
      udp.checksum = sum.complement == 0 ? 0xffff : sum.complement
      return EthernetHeader(destination: destination, source: source, type: EthernetHeader.ipv6).bytes
        + IPv6Header(
          payloadLength: UInt16(udpBytes), nextHeader: IPProtocol.udp, source: here, destination: there
        ).bytes
        + udp.bytes + [UInt8](repeating: 0, count: udpBytes - UDPHeader.size)
    }
  }

  /// The same from the remote end, as the wire brings it.
  static func outer(_ ip: IP = .v4, bytes: Int = 64, to destination: MACAddress = CostPrograms.container)
    -> [UInt8]
  {
    FrameTemplate.vxlan(
      FrameTemplate(octets: inner(ip, bytes: bytes, from: remote, to: destination)), vni: CostPrograms.vni,
      from: FlowEnd(mac: MACAddress(value: 0x0202_0000_0002), ipv4: CostPrograms.vtep, port: 40_000),
      to: FlowEnd(mac: CostPrograms.uplink, ipv4: CostPrograms.local, port: CostPrograms.port),
      withChecksum: false
    ).octets
  }

  /// A packet that the fast path leaves to the kernel, and why.
  struct Odd {
    var verdict: FastPath.Verdict
    var step: CostPrograms.Step
    var frame: [UInt8]
  }

  static var odd: [Odd] {
    func port(_ verdict: FastPath.Verdict, _ frame: [UInt8], _ change: (inout [UInt8]) -> Void = { _ in })
      -> Odd
    {
      var frame = frame
      change(&frame)
      return Odd(verdict: verdict, step: .port, frame: frame)
    }
    func wire(
      _ verdict: FastPath.Verdict, _ frame: [UInt8] = outer(), _ change: (inout [UInt8]) -> Void = { _ in }
    )
      -> Odd
    {
      var frame = frame
      change(&frame)
      return Odd(verdict: verdict, step: .uplink, frame: frame)
    }
    let outerIP = EthernetHeader.size
    let outerUDP = outerIP + IPv4Header.size
    let vxlan = outerUDP + UDPHeader.size
    return [
      port(.passUnknownDestination, inner(to: CostPrograms.absent)),
      port(.passUnknownSource, inner(from: CostPrograms.absent)),
      port(.passMovedSource, inner(from: CostPrograms.neighbour)),
      port(.passHost, inner(to: CostPrograms.kernelOnly)),
      port(.passSamePort, inner(to: CostPrograms.container)),
      port(.passMulticast, inner(to: MACAddress(value: 0xffff_ffff_ffff))),
      port(.passNotIP, inner()) { $0.replaceSubrange(12..<14, with: [8, 6]) },
      port(.passTruncated, Array(inner().prefix(30))),
      port(.passMTU, inner(bytes: 1480)),
      wire(.passUnknownDestination, outer(to: CostPrograms.absent)),
      wire(.passUnknownVNI) { $0[vxlan + 6] ^= 1 },
      wire(.passVXLANFlags) { $0[vxlan] = 0 },
      wire(.passNotOverlay) { $0[outerUDP + 3] ^= 1 },
      wire(.passOuter) { $0[outerIP + 10] ^= 1 },
      wire(.passECN) { frame in
        // CE outside, not ECN-capable inside (RFC 6040); the header checksum follows.
        frame[outerIP + 1] = 3
        let sum = UInt16(frame[outerIP + 10]) << 8 | UInt16(frame[outerIP + 11])
        frame[outerIP + 10] = UInt8((sum &- 3) >> 8)
        frame[outerIP + 11] = UInt8((sum &- 3) & 0xff)
      },
    ]
  }
}
