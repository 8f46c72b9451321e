// SPDX-License-Identifier: Apache-2.0
import Glibc
import LinuxSystem
import PacketHeaders
import TestSupport
import Testing

@testable import Netlink

/// ctnetlink's messages byte by byte, little-endian as on the machines that Culvert runs on.
struct ConntrackWireTests {
  static let tuple = """
    34 00 01 80                                      # CTA_TUPLE_ORIG, with NLA_F_NESTED
    14 00 01 80                                      #   CTA_TUPLE_IP
    08 00 01 00 c6 12 00 01                          #     CTA_IP_V4_SRC 198.18.0.1
    08 00 02 00 c6 12 00 02                          #     CTA_IP_V4_DST 198.18.0.2
    1c 00 02 80                                      #   CTA_TUPLE_PROTO
    05 00 01 00 06 00 00 00                          #     CTA_PROTO_NUM: TCP
    06 00 02 00 9c 40 00 00                          #     CTA_PROTO_SRC_PORT 40000, padded
    06 00 03 00 13 89 00 00                          #     CTA_PROTO_DST_PORT 5001
    """

  /// As Linux 6.18 announced that a connection was established; destination translated, marked, in zone 3.
  static let established = hex(
    """
    d4 00 00 00 00 01 00 00 00 00 00 00 00 00 00 00  # nlmsghdr: 212 bytes, ctnetlink's IPCTNL_MSG_CT_NEW, an update
    02 00 00 00                                      # nfgenmsg: AF_INET
    \(tuple)
    34 00 02 80                                      # CTA_TUPLE_REPLY
    14 00 01 80                                      #   CTA_TUPLE_IP
    08 00 01 00 c6 12 00 07                          #     CTA_IP_V4_SRC 198.18.0.7
    08 00 02 00 c6 12 00 01                          #     CTA_IP_V4_DST 198.18.0.1
    1c 00 02 80                                      #   CTA_TUPLE_PROTO
    05 00 01 00 06 00 00 00                          #     CTA_PROTO_NUM: TCP
    06 00 02 00 00 50 00 00                          #     CTA_PROTO_SRC_PORT 80
    06 00 03 00 9c 40 00 00                          #     CTA_PROTO_DST_PORT 40000
    08 00 0c 00 0a da a2 dd                          # CTA_ID
    08 00 03 00 00 00 01 ae                          # CTA_STATUS: seen reply, assured, confirmed, destination NAT done
    08 00 07 00 00 06 97 80                          # CTA_TIMEOUT 432000
    30 00 04 80                                      # CTA_PROTOINFO
    2c 00 01 80                                      #   CTA_PROTOINFO_TCP
    05 00 01 00 03 00 00 00                          #     CTA_PROTOINFO_TCP_STATE: established
    05 00 02 00 0a 00 00 00                          #     CTA_PROTOINFO_TCP_WSCALE_ORIGINAL
    05 00 03 00 0a 00 00 00                          #     CTA_PROTOINFO_TCP_WSCALE_REPLY
    06 00 04 00 23 00 00 00                          #     CTA_PROTOINFO_TCP_FLAGS_ORIGINAL
    06 00 05 00 2b 00 00 00                          #     CTA_PROTOINFO_TCP_FLAGS_REPLY, liberal
    08 00 08 00 00 00 40 00                          # CTA_MARK 0x4000
    06 00 12 00 00 03 00 00                          # CTA_ZONE 3
    """)

  static let liberal = hex(
    """
    70 00 00 00 00 01 01 00 00 00 00 00 00 00 00 00  # nlmsghdr: 112 bytes, IPCTNL_MSG_CT_NEW, request, nothing created
    02 00 00 00                                      # nfgenmsg: AF_INET
    \(tuple)
    18 00 04 80                                      # CTA_PROTOINFO
    14 00 01 80                                      #   CTA_PROTOINFO_TCP
    06 00 04 00 08 08 00 00                          #     CTA_PROTOINFO_TCP_FLAGS_ORIGINAL: liberal, and its mask
    06 00 05 00 08 08 00 00                          #     CTA_PROTOINFO_TCP_FLAGS_REPLY
    08 00 08 00 00 00 10 00                          # CTA_MARK 0x1000
    08 00 15 00 00 00 10 00                          # CTA_MARK_MASK 0x1000
    """)

  static let dump = hex(
    """
    34 00 00 00 01 01 01 00 00 00 00 00 00 00 00 00  # nlmsghdr: 52 bytes, IPCTNL_MSG_CT_GET, request
    0a 00 00 00                                      # nfgenmsg: AF_INET6
    08 00 08 00 00 00 00 00                          # CTA_MARK 0 …
    08 00 15 00 00 00 10 00                          # … under CTA_MARK_MASK 0x1000
    08 00 03 00 00 00 00 04                          # CTA_STATUS: assured …
    08 00 1a 00 00 00 00 04                          # … under CTA_STATUS_MASK
    """)

  static let original = ConntrackTuple(
    source: .v4(v4("198.18.0.1")), destination: .v4(v4("198.18.0.2")), protocolNumber: 6, sourcePort: 40_000,
    destinationPort: 5_001)

  @Test func anAnnouncementFromBytes() throws {
    guard case .update(let entry) = try parse(Self.established).first else {
      Issue.record("no update")
      return
    }
    #expect(entry.original == Self.original)
    #expect(
      entry.reply
        == ConntrackTuple(
          source: .v4(v4("198.18.0.7")), destination: .v4(v4("198.18.0.1")), protocolNumber: 6, sourcePort: 80,
          destinationPort: 40_000))
    #expect(entry.status.isSuperset(of: [.seenReply, .assured, .confirmed, .destinationNAT]) == true)
    #expect(!entry.status.contains(.sourceNAT) && !entry.status.contains(.dying))
    #expect(entry.tcp == TCPTracking(state: .established, flagsOriginal: 0x23, flagsReply: 0x2b))
    #expect(!entry.isLiberal)
    #expect((entry.mark, entry.zone, entry.timeout ?? 0) == (0x4000, 3, 432_000))
    #expect(entry.id == 0x0ada_a2dd && entry.helper == nil)
  }

  @Test func newUpdateAndDestroyAreToldApart() throws {
    func flagged(_ type: UInt8, _ flags: UInt8) -> [UInt8] {
      var bytes = Self.established
      (bytes[4], bytes[7]) = (type, flags)
      return bytes
    }
    // NLM_F_CREATE is 0x400; IPCTNL_MSG_CT_DELETE is 2; 7 of another subsystem is passed over.
    guard case .new = try parse(flagged(0, 6)).first else { Issue.record("no new one"); return }
    guard case .destroy = try parse(flagged(2, 0)).first else { Issue.record("none destroyed"); return }
    var other = Self.established
    other[5] = 7
    #expect(try parse(other).isEmpty)
  }

  /// Whatever is cut off: a refusal, never a crash or an entry made up.
  @Test func whatIsCutOffIsRefused() throws {
    for length in stride(from: 24, to: Self.established.count, by: 4) {
      var bytes = Array(Self.established[..<length])
      bytes[0] = UInt8(length)
      guard let event = try? parse(bytes).first, case .update(let entry) = event else { continue }
      #expect(entry.original == Self.original, "cut at \(length)")
    }
    // Without the reply's tuple there is no entry.
    var bytes = Array(Self.established[..<72])
    bytes[0] = 72
    #expect(throws: Failure.self) { try parse(bytes) }
  }

  @Test func requestsByteForByte() throws {
    #expect(try ConntrackConnection.liberalRequest(Self.original, mark: 0x1000).bytes == Self.liberal)
    // Without a mark nothing is said of it.
    let short = try ConntrackConnection.liberalRequest(Self.original, mark: 0).bytes
    #expect(short.count == Self.liberal.count - 16 && short.dropFirst(1) == Self.liberal[1..<short.count])
    var selection = ConntrackSelection()
    (selection.family, selection.unmarked, selection.status) = (UInt8(AF_INET6), 0x1000, .assured)
    #expect(try selection.request().bytes == Self.dump)
  }

  private func parse(_ bytes: [UInt8]) throws -> [ConntrackEvent] {
    var events: [ConntrackEvent] = []
    try bytes.withUnsafeBytes { try ConntrackEvent.parse($0, into: &events) }
    return events
  }
}
