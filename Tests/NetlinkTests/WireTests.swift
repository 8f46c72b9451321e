// SPDX-License-Identifier: Apache-2.0
import CLibNL
import LinuxSystem
import PacketHeaders
import TestSupport
import Testing

@testable import Netlink

/// Messages byte by byte, little-endian as on the machines that Culvert runs on.
struct WireTests {
  /// `bridge fdb append 02:00:00:00:02:01 dev #7 dst 198.18.0.2 port 4790 vni 5 via #9 self static`
  static let fdb = hex(
    """
    48 00 00 00 1c 00 01 0c 00 00 00 00 00 00 00 00  # nlmsghdr: 72 bytes, RTM_NEWNEIGH, request, create, append
    07 00 00 00 07 00 00 00 42 00 02 00              # ndmsg: AF_BRIDGE, #7, NOARP and REACHABLE, NTF_SELF
    0a 00 02 00 02 00 00 00 02 01 00 00              # NDA_LLADDR, padded
    08 00 01 00 c6 12 00 02                          # NDA_DST 198.18.0.2
    06 00 06 00 12 b6 00 00                          # NDA_PORT 4790 in network order, padded
    08 00 07 00 05 00 00 00                          # NDA_VNI 5
    08 00 08 00 09 00 00 00                          # NDA_IFINDEX 9
    """)

  /// What a VXLAN device announces of that entry, and what rtnetlink adds up to Linux 6.12.
  static let announced = hex(
    """
    5c 00 00 00 1c 00 00 00 00 00 00 00 00 00 00 00  # nlmsghdr: 92 bytes, RTM_NEWNEIGH
    07 00 00 00 07 00 00 00 42 00 02 00              # ndmsg: AF_BRIDGE, #7, NOARP and REACHABLE, NTF_SELF
    0a 00 02 00 02 00 00 00 02 01 00 00              # NDA_LLADDR, padded
    08 00 01 00 c6 12 00 02                          # NDA_DST 198.18.0.2
    06 00 06 00 12 b6 00 00                          # NDA_PORT 4790 in network order, padded
    08 00 07 00 05 00 00 00                          # NDA_VNI 5
    08 00 08 00 09 00 00 00                          # NDA_IFINDEX 9
    14 00 03 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00  # NDA_CACHEINFO
    28 00 00 00 1c 00 00 00 00 00 00 00 00 00 00 00  # nlmsghdr: 40 bytes, RTM_NEWNEIGH
    07 00 00 00 07 00 00 00 42 00 02 00              # the same ndmsg
    0a 00 02 00 02 00 00 00 02 01 00 00              # NDA_LLADDR, padded, and no more
    """)

  static let vxlan = hex(
    """
    a4 00 00 00 10 00 00 00 00 00 00 00 00 00 00 00  # nlmsghdr: 164 bytes, RTM_NEWLINK
    00 00 01 00 07 00 00 00 43 10 01 00 00 00 00 00  # ifinfomsg: ARPHRD_ETHER, #7, up, carrier
    08 00 03 00 76 78 30 00                          # IFLA_IFNAME "vx0"
    08 00 04 00 78 05 00 00                          # IFLA_MTU 1400
    0a 00 01 00 02 00 00 00 00 07 00 00              # IFLA_ADDRESS, padded
    08 00 0a 00 04 00 00 00                          # IFLA_MASTER #4
    18 00 2b 80                                      # IFLA_XDP, with NLA_F_NESTED
    05 00 02 00 01 00 00 00                          #   IFLA_XDP_ATTACHED: driver
    08 00 04 00 2a 00 00 00                          #   IFLA_XDP_PROG_ID 42
    04 00 ff 00                                      #   one that this parser does not know
    48 00 12 00                                      # IFLA_LINKINFO
    0a 00 01 00 76 78 6c 61 6e 00 00 00              #   IFLA_INFO_KIND "vxlan"
    38 00 02 00                                      #   IFLA_INFO_DATA
    08 00 01 00 01 10 00 00                          #     IFLA_VXLAN_ID 4097
    08 00 04 00 c6 12 00 01                          #     IFLA_VXLAN_LOCAL 198.18.0.1
    08 00 0a 00 9c 40 c3 50                          #     IFLA_VXLAN_PORT_RANGE 40000 to 50000
    08 00 0f 00 12 b5 00 00                          #     IFLA_VXLAN_PORT 4789, longer than need be
    05 00 07 00 01 00 00 00                          #     IFLA_VXLAN_LEARNING
    04 00 17 00                                      #     IFLA_VXLAN_GBP, a flag
    05 00 19 00 00 00 00 00                          #     IFLA_VXLAN_COLLECT_METADATA: off
    """)

  static let refusal = hex(
    """
    3c 00 00 00 02 00 00 03 07 00 00 00 01 00 00 00  # nlmsghdr: 60 bytes, NLMSG_ERROR, capped, with TLVs
    ea ff ff ff                                      # -EINVAL
    48 00 00 00 1c 00 05 04 07 00 00 00 01 00 00 00  # the request's header
    08 00 02 00 1c 00 00 00                          # NLMSGERR_ATTR_OFFS 28
    0e 00 01 00 6e 6f 74 20 73 6f 20 66 61 00 00 00  # NLMSGERR_ATTR_MSG "not so fa"
    """)

  @Test func anFDBRequestByteForByte() throws {
    var entry = FDBRequest(
      link: 7, mac: mac("02:00:00:00:02:01"), table: .device, destination: .v4(v4("198.18.0.2")))
    entry.port = 4790
    entry.vni = 5
    entry.outInterface = 9
    let request = try RouteConnection.fdbRequest(RTM_NEWNEIGH, flags: TableChange.append.flags, entry)
    #expect(request.bytes == Self.fdb)
  }

  @Test func anFDBEntryFromBytes() throws {
    let events = try parse(Self.announced)
    guard case .fdb(let entry) = events.first, events.count == 1 else {
      Issue.record("\(events)")
      return
    }
    #expect(
      entry
        == FDBEntry(
          link: 7, mac: mac("02:00:00:00:02:01"), state: 0x42, flags: 2, extendedFlags: 0,
          destination: .v4(v4("198.18.0.2")), port: 4790, vni: 5, outInterface: 9))
    #expect(entry.isOfDevice && entry.isStatic && !entry.isPermanent)
  }

  @Test func aVXLANDeviceFromBytes() throws {
    guard case .link(let link) = try parse(Self.vxlan).first else {
      Issue.record("no link")
      return
    }
    let attributes = VXLANAttributes(
      vni: 4097, port: 4789, portRange: 40_000...50_000, local: ip("198.18.0.1"), isIPv6: false, ttl: 0,
      ttlInherit: false, tos: 0, df: 0, learning: true, ageingSeconds: 0, udpChecksum: false,
      extensions: ["gbp"])
    #expect(
      link
        == Link(
          index: 7, name: "vx0", flags: 0x11043, mtu: 1400, mac: mac("02:00:00:00:00:07"), kind: "vxlan",
          master: 4, receiveQueues: 1, transmitQueues: 1, xdpAttached: 1, xdpProgramID: 42, vxlan: attributes)
    )
  }

  @Test func theKernelsWordsFromBytes() throws {
    try Self.refusal.withUnsafeBytes { bytes in
      var messages = Messages(bytes)
      let acknowledgement = try Acknowledgement(error: try #require(try messages.next()))
      #expect(acknowledgement.errno == .invalidArgument)
      #expect(acknowledgement.text == "not so fa")
    }
  }

  @Test func severalMessagesInOneDatagram() throws {
    #expect(try parse(Self.announced + Self.vxlan + Self.announced).count == 3)
  }

  /// Attributes that end before their value does, or after their container.
  @Test(arguments: [
    "18 00 00 00 10 00 00 00 00 00 00 00 00 00 00 00 00 00 01 00 07 00 00 00",
    """
    28 00 00 00 10 00 00 00 00 00 00 00 00 00 00 00 00 00 01 00 07 00 00 00 00 00 00 00 00 00 00 00
    06 00 04 00 78 05 00 00 # IFLA_MTU of two bytes
    """,
    """
    28 00 00 00 10 00 00 00 00 00 00 00 00 00 00 00 00 00 01 00 07 00 00 00 00 00 00 00 00 00 00 00
    0c 00 04 00 78 05 00 00 # IFLA_MTU longer than the message
    """,
    """
    28 00 00 00 10 00 00 00 00 00 00 00 00 00 00 00 00 00 01 00 07 00 00 00 00 00 00 00 00 00 00 00
    03 00 04 00 78 05 00 00 # shorter than its own header
    """,
    "ff 00 00 00 10 00 00 00 00 00 00 00 00 00 00 00", "10 00 00 00 1c 00 00 00 00 00 00 00 00 00 00 00",
    "04 00 00 00 10 00 00 00 00 00 00 00 00 00 00 00", "10 00 00",
  ])
  func malformedIsAnError(_ text: String) {
    #expect { try parse(hex(text)) } throws: { ($0 as? Failure)?.errno == .badMessage }
  }

  @Test func truncatedOrChangedMessagesNeverCrash() {
    var random = SplitMix(state: testSeed)
    var parsed = 0
    for original in [Self.announced, Self.vxlan, Self.refusal] {
      for length in 0...original.count {
        _ = try? parse(Array(original[..<length]))
        // And with a header that admits the shorter length.
        guard length >= 16 else { continue }
        var short = Array(original[..<length])
        short[0] = UInt8(length)
        _ = try? parse(short)
      }
      for _ in 0..<10_000 {
        var changed = original
        for _ in 0..<Int.random(in: 1...6, using: &random) {
          changed[Int.random(in: 0..<changed.count, using: &random)] = .random(in: 0...255, using: &random)
        }
        if (try? parse(changed)) != nil { parsed += 1 }
      }
    }
    for _ in 0..<10_000 {
      var noise = (0..<Int.random(in: 16...200, using: &random)).map { _ in
        UInt8.random(in: 0...255, using: &random)
      }
      noise[0] = UInt8(noise.count)
      noise[1] = 0
      noise[2] = 0
      noise[3] = 0
      noise[4] = [16, 17, 28, 29].randomElement(using: &random)!
      noise[5] = 0
      _ = try? parse(noise)
    }
    // Some changes leave a message that still parses: the parser was reached.
    #expect(parsed > 300)
  }

  private func parse(_ bytes: [UInt8]) throws -> [NetlinkEvent] {
    try bytes.withUnsafeBytes { bytes in
      var events: [NetlinkEvent] = []
      var messages = Messages(bytes)
      while let message = try messages.next() {
        if message.type == Int(NLMSG_ERROR) { _ = try Acknowledgement(error: message) }
        if let event = try NetlinkEvent(parsing: message) { events.append(event) }
        _ = try? RouteDecision(parsing: message.payload)
      }
      return events
    }
  }
}
