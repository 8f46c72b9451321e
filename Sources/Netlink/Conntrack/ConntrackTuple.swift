// SPDX-License-Identifier: Apache-2.0
import CLibNL
import Glibc
import LinuxSystem
import PacketHeaders

/// One direction of a connection as the kernel's connection tracking has it
/// (net/netfilter/nf_conntrack_tuple.h).
public struct ConntrackTuple: Hashable, Sendable {
  public var source: IPAddress
  public var destination: IPAddress
  /// IPPROTO_*.
  public var protocolNumber: UInt8
  /// In host order; 0 where the protocol has none. Of ICMP the identifier is in `sourcePort`,
  /// type and code are in `destinationPort`'s upper and lower octet.
  public var sourcePort: UInt16
  public var destinationPort: UInt16

  public init(
    source: IPAddress, destination: IPAddress, protocolNumber: UInt8, sourcePort: UInt16 = 0,
    destinationPort: UInt16 = 0
  ) {
    self.source = source
    self.destination = destination
    self.protocolNumber = protocolNumber
    self.sourcePort = sourcePort
    self.destinationPort = destinationPort
  }

  /// The same connection's other direction where nothing is translated.
  public var reversed: ConntrackTuple {
    ConntrackTuple(
      source: destination, destination: source, protocolNumber: protocolNumber, sourcePort: destinationPort,
      destinationPort: sourcePort)
  }
}

extension ConntrackTuple {
  /// CTA_TUPLE_ORIG's or CTA_TUPLE_REPLY's content (linux/netfilter/nfnetlink_conntrack.h).
  init(parsing attributes: Attributes) throws(Failure) {
    var (source, destination): (IPAddress?, IPAddress?) = (nil, nil)
    var number: UInt8?
    var (sourcePort, destinationPort): (UInt16, UInt16) = (0, 0)
    try attributes.forEach { attribute throws(Failure) in
      switch attribute.type {
      case Int(CTA_TUPLE_IP.rawValue):
        try attribute.nested.forEach { address throws(Failure) in
          switch address.type {
          case Int(CTA_IP_V4_SRC.rawValue), Int(CTA_IP_V6_SRC.rawValue): source = try address.address()
          case Int(CTA_IP_V4_DST.rawValue), Int(CTA_IP_V6_DST.rawValue): destination = try address.address()
          default: break
          }
        }
      case Int(CTA_TUPLE_PROTO.rawValue):
        try attribute.nested.forEach { part throws(Failure) in
          switch part.type {
          case Int(CTA_PROTO_NUM.rawValue): number = try part.integer()
          case Int(CTA_PROTO_SRC_PORT.rawValue), Int(CTA_PROTO_ICMP_ID.rawValue),
            Int(CTA_PROTO_ICMPV6_ID.rawValue):
            sourcePort = try part.bigEndian()
          case Int(CTA_PROTO_DST_PORT.rawValue): destinationPort = try part.bigEndian()
          case Int(CTA_PROTO_ICMP_TYPE.rawValue), Int(CTA_PROTO_ICMPV6_TYPE.rawValue):
            destinationPort |= UInt16(try part.integer(UInt8.self)) << 8
          case Int(CTA_PROTO_ICMP_CODE.rawValue), Int(CTA_PROTO_ICMPV6_CODE.rawValue):
            destinationPort |= UInt16(try part.integer(UInt8.self))
          default: break
          }
        }
      default: break
      }
    }
    guard let source, let destination, let number else { throw .malformed("conntrack tuple") }
    self.init(
      source: source, destination: destination, protocolNumber: number, sourcePort: sourcePort,
      destinationPort: destinationPort)
  }

  /// AF_INET or AF_INET6, as struct nfgenmsg has it.
  var family: UInt8 {
    if case .v4 = source { UInt8(AF_INET) } else { UInt8(AF_INET6) }
  }

  /// Writes the tuple as attribute `type`, for protocols with ports.
  func put(_ type: ctattr_type, into request: inout Request) throws(Failure) {
    let isIPv4 = family == UInt8(AF_INET)
    try request.nestMarked(Int(type.rawValue)) { tuple throws(Failure) in
      try tuple.nestMarked(Int(CTA_TUPLE_IP.rawValue)) { ip throws(Failure) in
        ip.put(Int((isIPv4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC).rawValue), source)
        ip.put(Int((isIPv4 ? CTA_IP_V4_DST : CTA_IP_V6_DST).rawValue), destination)
      }
      try tuple.nestMarked(Int(CTA_TUPLE_PROTO.rawValue)) { part throws(Failure) in
        part.put(Int(CTA_PROTO_NUM.rawValue), protocolNumber)
        part.put(Int(CTA_PROTO_SRC_PORT.rawValue), sourcePort.bigEndian)
        part.put(Int(CTA_PROTO_DST_PORT.rawValue), destinationPort.bigEndian)
      }
    }
  }
}

extension Request {
  /// An attribute that holds others and says so (NLA_F_NESTED), as nfnetlink's subsystems demand.
  mutating func nestMarked(
    _ type: Int, _ body: (inout Request) throws(Failure) -> Void
  ) throws(Failure) {
    try nest(type | Int(NLA_F_NESTED), body)
  }
}
