// SPDX-License-Identifier: Apache-2.0
import CBPFObjects
import DataPlane
import Foundation
import PacketHeaders

@testable import Bench
@testable import FastPath
@testable import Netlink

/// What reads bytes that others wrote. A parser refuses them or takes them; whatever else happens is a finding.
enum Parser: String, CaseIterable {
  case netlink, headers, frame, json

  static let chosen: Parser = {
    let name = ProcessInfo.processInfo.environment["CULVERT_FUZZ_PARSER"] ?? ""
    guard let parser = Parser(rawValue: name) else {
      fatalError("CULVERT_FUZZ_PARSER is one of \(allCases.map(\.rawValue).joined(separator: ", "))")
    }
    return parser
  }()

  func feed(_ data: UnsafePointer<UInt8>?, _ size: Int) -> Int32 {
    let bytes = UnsafeRawBufferPointer(start: data, count: size)
    switch self {
    case .netlink: Self.netlink(bytes)
    case .headers: Self.headers(Array(bytes))
    case .frame: Self.frame(Array(bytes))
    case .json: Self.json(Data(bytes))
    }
    return 0
  }

  private static func netlink(_ bytes: UnsafeRawBufferPointer) {
    var events: [NetlinkEvent] = []
    try? NetlinkEvent.parse(bytes, into: &events)
    _ = try? RouteDecision(parsing: bytes)
    var messages = Messages(bytes)
    while let message = try? messages.next() {
      _ = try? Acknowledgement(error: message)
      _ = try? Acknowledgement(done: message)
      _ = try? RouteDecision(parsing: message.payload)
    }
  }

  private static func headers(_ bytes: [UInt8]) {
    let offset = Int(bytes.first ?? 0) % 64
    _ = EthernetHeader(bytes, at: offset)
    _ = UDPHeader(bytes, at: offset)
    _ = VXLANHeader(bytes, at: offset)
    _ = IPv6Header(bytes, at: offset)
    // What was read is written as it was.
    if let header = IPv4Header(bytes, at: offset), header.hasValidChecksum {
      precondition(header.bytes == Array(bytes[offset..<offset + IPv4Header.size]))
    }
    let text = String(decoding: bytes, as: UTF8.self)
    if let address = IPv4Address(text) { precondition(IPv4Address("\(address)") == address) }
    if let mac = MACAddress(text) { precondition(MACAddress("\(mac)") == mac) }
  }

  /// A container's frame that a program handed to the worker: it has checked that the headers are there.
  private static func frame(_ bytes: [UInt8]) {
    guard bytes.count >= 2 + 14 + 40 else { return }
    let isIPv6 = bytes[0] & 1 != 0
    let flags = UInt32(bytes[1])
    var frame = Array(bytes[2...])
    frame.replaceSubrange(12..<14, with: isIPv6 ? [0x86, 0xdd] : [8, 0])
    if !isIPv6 { frame[14] = 0x45 + bytes[1] % 6 }
    var tunnel = culvert_tunnel()
    tunnel.flags = flags
    tunnel.valid = 1
    var words = culvert_metadata()
    words.verdict = CULVERT_FORWARDED_ENCAP.rawValue
    let data = withUnsafeBytes(of: words) { Array($0) } + frame
    guard let sent = FrameInMemory.apply(data, tunnels: [tunnel]) else { return }
    precondition(sent.count == frame.count + 50)
    // Only a checksum may differ inside.
    precondition(zip(sent.dropFirst(50), frame).filter { $0 != $1 }.count <= 2)
  }

  private static func json(_ data: Data) {
    let decoder = JSONDecoder()
    _ = try? decoder.decode(Journal.self, from: data)
    _ = try? decoder.decode(Status.self, from: data)
    _ = try? decoder.decode(Stats.self, from: data)
    _ = try? CostReport.decoded(data)
    guard let report = try? ABReport.decoded(data) else { return }
    _ = ABTable(report, coloured: false).text
  }
}
