// SPDX-License-Identifier: Apache-2.0
import CBPFObjects
import PacketHeaders

/// RFC 6040, as the kernel's INET_ECN_encapsulate() and INET_ECN_decapsulate() have it.
extension Case {
  private static let names = ["Not-ECT", "ECT(1)", "ECT(0)", "CE"]

  /// Outer ECN by inner ECN: CE becomes ECT(0), whatever the device's own TOS says.
  private static let sent: [UInt8] = [0, 1, 2, 2]

  static let portECN: [Case] = (0..<4).flatMap { (inner: Int) -> [Case] in
    (0..<4).flatMap { (device: Int) -> [Case] in
      [false, true].map { (v6: Bool) -> Case in
        let tos = UInt8(0x50 | inner)
        var outer = Outer.sent
        outer.tos = 0x84 | sent[inner]
        return Case(
          name: "port: ECN \(names[inner]) in \(v6 ? "IPv6" : "IPv4"), device's TOS \(names[device])",
          program: .port, frame: v6 ? Frames.v6(trafficClass: tos) : Frames.v4(tos: tos),
          verdict: CULVERT_FORWARDED_ENCAP, slot: 1, out: .encapsulated(outer),
          prepare: { try $0.setTunnel(0) { $0.tos = 0x84 | UInt8(device) } })
      }
    }
  }

  /// Inner ECN after decapsulation, by outer and inner; nil where it is the kernel's to decide.
  private static let received: [[UInt8?]] = [
    [0, 1, 2, 3],  // outer Not-ECT
    [nil, 1, 1, 3],  // outer ECT(1): marks inner ECT(0)
    [nil, 1, 2, 3],  // outer ECT(0)
    [nil, 3, 3, 3],  // outer CE
  ]

  static let uplinkECN: [Case] = (0..<4).flatMap { (outer: Int) -> [Case] in
    (0..<4).flatMap { (inner: Int) -> [Case] in
      [false, true].map { (v6: Bool) -> Case in
        func frame(_ ecn: UInt8) -> [UInt8] {
          let tos = 0x50 | ecn
          return v6
            ? Frames.v6(from: Frames.b1, to: Frames.a1, trafficClass: tos, flowLabel: 0xabcde)
            : Frames.v4(from: Frames.b1, to: Frames.a1, tos: tos)
        }
        let after = received[outer][inner]
        return Case(
          name: "uplink: ECN \(names[outer]) over \(names[inner]) in \(v6 ? "IPv6" : "IPv4")",
          program: .uplink, frame: Outer(tos: 0x84 | UInt8(outer)).around(frame(UInt8(inner))),
          verdict: after == nil ? CULVERT_PASS_ECN : CULVERT_FORWARDED_DECAP, slot: 0,
          out: after.map { .exactly(frame($0)) } ?? .unchanged)
      }
    }
  }
}
