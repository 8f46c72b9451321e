// SPDX-License-Identifier: Apache-2.0
import CBPFObjects

/// The outer headers, as vxlan_xmit_one() and iptunnel_xmit() write them, and their removal.
enum OuterHeader {
  private static let ecnMask: UInt8 = 3
  @inline(__always) private static var vxlanFlags: UInt32 { UInt32(0x0800_0000).bigEndian }

  /// Writes 50 bytes in front of the frame.
  @inline(__always)
  static func write(
    _ inner: InnerFrame, _ tunnel: borrowing culvert_tunnel, seed: UInt64,
    _ identifications: borrowing Identifications
  ) {
    let outer = inner.frame - Layout.outer
    let flags = tunnel.flags
    let ttl = flags & CULVERT_TUNNEL_TTL_INHERIT.rawValue != 0 && inner.ttl != 0 ? inner.ttl : tunnel.ttl
    let hash = inner.flowHash(seed: seed)
    let width = UInt32(tunnel.source_max) &- UInt32(tunnel.source_min) &+ 1
    let port = UInt16(
      truncatingIfNeeded: UInt32(tunnel.source_min) &+ UInt32((UInt64(hash) &* UInt64(width)) >> 32))
    let ipBytes = UInt16(truncatingIfNeeded: inner.bytes &+ Layout.outer &- Layout.outerIP)
    let udpBytes = (ipBytes &- UInt16(Layout.ipv4)).bigEndian
    let ip0 = word(0x4500 | UInt16(tos(inner, tunnel)), ipBytes)
    let ip1 = word(
      identifications.next(hash: hash), UInt16(bigEndian: fragment(inner, flags)))
    let ttlAndProtocol = UInt32(UInt16(ttl) << 8 | UInt16(IPProtocol.udp)) << 16
    let addresses = UInt64(tunnel.local) &+ UInt64(tunnel.remote)
    let ports = word(port, UInt16(bigEndian: tunnel.udp_port))
    let check = ~Checksum.fold(UInt64(ip0) &+ UInt64(ip1) &+ UInt64(ttlAndProtocol.bigEndian) &+ addresses)

    var udpCheck: UInt16 = 0
    if flags & CULVERT_TUNNEL_UDP_CSUM.rawValue != 0 {
      // Over what is sent, not derived from the inner checksum: that one may be wrong, which is the receiver's to
      // find. The length counts twice: in the pseudo-header and in the header.
      var sum =
        Checksum.sum(inner.frame, inner.bytes) &+ addresses &+ UInt64(UInt16(IPProtocol.udp).bigEndian)
      sum &+= UInt64(udpBytes) &+ UInt64(udpBytes) &+ UInt64(ports)
      sum &+= UInt64(vxlanFlags) &+ UInt64(tunnel.vni_be)
      udpCheck = ~Checksum.fold(sum)
      if udpCheck == 0 { udpCheck = 0xffff }
    }

    withUnsafeBytes(of: tunnel.dst_mac) { outer.copyMemory(from: $0.baseAddress!, byteCount: 6) }
    withUnsafeBytes(of: tunnel.src_mac) { (outer + 6).copyMemory(from: $0.baseAddress!, byteCount: 6) }
    outer.put(Layout.etherType, Layout.typeIPv4)
    outer.put(Layout.outerIP, ip0)
    outer.put(Layout.outerIP + 4, ip1)
    outer.put(Layout.outerIP + 8, ttlAndProtocol.bigEndian)
    outer.put(Layout.outerIP + 10, check)
    outer.put(Layout.outerIP + 12, tunnel.local)
    outer.put(Layout.outerIP + 16, tunnel.remote)
    outer.put(Layout.outerUDP, ports)
    outer.put(Layout.outerUDP + 4, udpBytes)
    outer.put(Layout.outerUDP + 6, udpCheck)
    outer.put(Layout.outerVXLAN, vxlanFlags)
    outer.put(Layout.outerVXLAN + 4, tunnel.vni_be)
  }

  /// Two 16-bit fields side by side, from host order.
  @inline(__always)
  private static func word(_ first: UInt16, _ second: UInt16) -> UInt32 {
    (UInt32(first) << 16 | UInt32(second)).bigEndian
  }

  /// RFC 6040 section 4.1, INET_ECN_encapsulate(): a congestion mark stays inside.
  @inline(__always)
  private static func tos(_ inner: InnerFrame, _ tunnel: borrowing culvert_tunnel) -> UInt8 {
    let base = tunnel.flags & CULVERT_TUNNEL_TOS_INHERIT.rawValue != 0 ? inner.tos : tunnel.tos
    let ecn = inner.tos & ecnMask
    return base & ~ecnMask | (ecn == 3 ? 2 : ecn)
  }

  @inline(__always)
  private static func fragment(_ inner: InnerFrame, _ flags: UInt32) -> UInt16 {
    if flags & CULVERT_TUNNEL_DF_SET.rawValue != 0 { return Layout.dontFragment }
    if flags & CULVERT_TUNNEL_DF_INHERIT.rawValue == 0 { return 0 }
    // IPv6 never fragments on the way: VXLAN_DF_INHERIT sets DF.
    return inner.isIPv4 ? inner.fragment & Layout.dontFragment : Layout.dontFragment
  }

  /// RFC 6040 section 4.2, INET_ECN_decapsulate(): the outer mark goes inwards. An outer mark on what is
  /// Not-ECT inside was the kernel's to judge.
  @inline(__always)
  static func inheritECN(_ inner: InnerFrame, outerTOS: UInt8) {
    let mark = outerTOS & ecnMask
    let ecn = inner.tos & ecnMask
    guard mark != 0, mark == 3 ? ecn != 3 : mark == 1 && ecn == 2 else { return }
    let tos = inner.tos & ~ecnMask | mark
    let ip = inner.ip
    if inner.isIPv4 {
      let before = ip.u16(0)
      ip.put(1, tos)
      // RFC 1624, equation 3.
      let sum = UInt64(~ip.u16(10)) &+ UInt64(~before) &+ UInt64(ip.u16(0))
      ip.put(10, ~Checksum.fold(sum))
    } else {
      let byte = ip.u8(1)
      ip.put(1, byte & 0xcf | mark << 4)
    }
  }
}
