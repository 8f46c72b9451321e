// SPDX-License-Identifier: Apache-2.0
import CLibNL
import Glibc
import LinuxSystem
import PacketHeaders

/// Which updates a `ConntrackMonitor` wants: those that say that TCP between these addresses has come to be
/// established and assured, and is not yet liberal both ways. The kernel leaves the rest out before it is queued:
/// of the seven or eight messages that a connection's life makes, one arrives.
public struct ConntrackFilter: Hashable, Sendable {
  /// One end, as it is called where its packets come from, must lie in one of these; none means any.
  public var addresses: Set<AddressPrefix>

  public init(addresses: Set<AddressPrefix> = []) { self.addresses = addresses }

  /// What the kernel's filter says, for entries of a dump.
  /// - Parameter mark: bits without which a liberal one counts too.
  public func accepts(_ entry: ConntrackEntry, mark: UInt32 = 0) -> Bool {
    guard entry.original.protocolNumber == UInt8(IPPROTO_TCP),
      entry.status.intersection([.assured, .dying]) == .assured,
      // An update of something else does not say whether it is.
      entry.mark & mark != mark || !(entry.isLiberal || entry.tcp == nil && mark != 0),
      entry.tcp == nil || entry.tcp?.state == .established
    else { return false }
    return concerns(entry.original.source) || concerns(entry.reply.source)
  }

  /// AF_INET or AF_INET6 where all addresses are of one of them, else 0.
  public var family: UInt8 {
    let families = Set(addresses.map { UInt8($0.address.isIPv6 ? AF_INET6 : AF_INET) })
    return families.count == 1 ? families.first! : 0
  }

  private func concerns(_ address: IPAddress) -> Bool {
    addresses.isEmpty || addresses.contains { $0.contains(address) }
  }

  /// Compared one by one in the kernel, for each message; more are left to `accepts`.
  static let maximumAddresses = 64

  var program: PacketFilter {
    var filter = PacketFilter()
    filter.loadHalf(at: 4)  // nlmsg_type, which is in host order
    filter.refuse(unless: UInt32(UInt16(ConntrackMessage.new).bigEndian))
    Self.find(CTA_STATUS.rawValue, &filter)
    filter.enter()
    filter.loadWord()
    filter.and((ConntrackStatus.assured.rawValue | ConntrackStatus.dying.rawValue))
    filter.refuse(unless: ConntrackStatus.assured.rawValue)
    Self.find(CTA_TUPLE_ORIG.rawValue, &filter)
    filter.find(nested: CTA_TUPLE_PROTO.rawValue)
    filter.find(nested: CTA_PROTO_NUM.rawValue)
    filter.enter()
    filter.loadByte()
    filter.refuse(unless: UInt32(IPPROTO_TCP))
    Self.refuseOtherStates(&filter)
    if addresses.isEmpty || addresses.count > Self.maximumAddresses {
      filter.accept()
    } else {
      for tuple in [CTA_TUPLE_ORIG, CTA_TUPLE_REPLY] { acceptSource(of: tuple, &filter) }
      filter.refuse()
    }
    return filter
  }

  private static func find(_ attribute: UInt32, _ filter: inout PacketFilter) {
    filter.load(constant: UInt32(Message.headerBytes + MemoryLayout<nfgenmsg>.size))
    filter.find(attribute: attribute)
  }

  /// The state is there only when it changed: assured without it is a connection picked up in its middle.
  private static func refuseOtherStates(_ filter: inout PacketFilter) {
    var inside = PacketFilter()
    inside.find(nested: CTA_PROTOINFO_TCP.rawValue)
    inside.store(in: 0)
    inside.find(nested: CTA_PROTOINFO_TCP_STATE.rawValue)
    inside.enter()
    inside.loadByte()
    inside.refuse(unless: UInt32(TCPTracking.State.established.rawValue))
    inside.load(from: 0)
    inside.find(nested: CTA_PROTOINFO_TCP_FLAGS_ORIGINAL.rawValue)
    inside.enter()
    inside.loadByte()
    inside.when(anyOf: UInt32(TCPTracking.beLiberal)) { both in
      both.load(from: 0)
      both.find(nested: CTA_PROTOINFO_TCP_FLAGS_REPLY.rawValue)
      both.enter()
      both.loadByte()
      both.when(anyOf: UInt32(TCPTracking.beLiberal)) { $0.refuse() }
    }
    find(CTA_PROTOINFO.rawValue, &filter)
    filter.whenNot(0) { $0.append(inside) }
  }

  private func acceptSource(of tuple: ctattr_type, _ filter: inout PacketFilter) {
    for (attribute, octets) in [(CTA_IP_V4_SRC, 4), (CTA_IP_V6_SRC, 16)] {
      let prefixes = addresses.filter { $0.mask.count == octets }
      guard !prefixes.isEmpty else { continue }
      Self.find(tuple.rawValue, &filter)
      filter.find(nested: CTA_TUPLE_IP.rawValue)
      filter.find(nested: attribute.rawValue)
      filter.whenNot(0) { there in
        there.enter()
        for prefix in prefixes { Self.accept(prefix, &there) }
      }
    }
  }

  private static func accept(_ prefix: AddressPrefix, _ filter: inout PacketFilter) {
    let words = prefix.mask.count / 4
    func word(_ octets: [UInt8], _ place: Int) -> UInt32 {
      octets[4 * place..<4 * place + 4].reduce(0) { $0 << 8 | UInt32($1) }
    }
    func compare(_ place: Int, _ filter: inout PacketFilter) {
      guard place < words, word(prefix.mask, place) != 0 else { return filter.accept() }
      filter.loadWord(ofPayload: UInt32(4 * place))
      filter.and(word(prefix.mask, place))
      filter.when(word(prefix.address.octets, place)) { compare(place + 1, &$0) }
    }
    compare(0, &filter)
  }
}

extension ConntrackMonitor {
  /// From now on the kernel queues only what `filter` accepts.
  public func attach(_ filter: ConntrackFilter) throws(Failure) { try socket.attach(filter.program) }
}
