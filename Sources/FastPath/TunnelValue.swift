// SPDX-License-Identifier: Apache-2.0
import CBPFObjects
import PacketHeaders

/// A tunnel as map `tunnels` has it, over one IP.
protocol TunnelValue {
  init()
  /// The address as the fields hold it, 0 for none.
  var remoteAddress: IPAddress { get }
  /// An unresolved tunnel is all there but `valid`.
  /// - Parameter uplink: slot of the port that it leaves by.
  init(_ key: TunnelKey, _ resolution: TunnelResolution, uplink: UInt32)
}

extension culvert_tunnel: TunnelValue {
  var remoteAddress: IPAddress { .v4(IPv4Address(value: UInt32(bigEndian: remote))) }

  init(_ key: TunnelKey, _ resolution: TunnelResolution, uplink: UInt32) {
    self.init()
    self.uplink = uplink
    if case .v4(let address) = key.remote { remote = address.bigEndian }
    vni_be = (key.vni << 8).bigEndian
    udp_port = key.port.bigEndian
    let header: TunnelHeader
    switch resolution {
    case .ready(let ready): header = ready
    case .kernel(let verdict, _):
      reason = UInt16(verdict.rawValue)
      if !verdict.leavesSenderKnown { remote = 0 }
      return
    }
    setOctets(&dst_mac, header.destinationMAC)
    setOctets(&src_mac, header.sourceMAC)
    if case .v4(let address) = header.local { local = address.bigEndian }
    (source_min, source_max) = header.inclusivePorts
    ttl = header.ttl
    tos = header.tos
    flags = header.flags
    mtu = header.mtu
    valid = 1
  }
}

extension culvert_tunnel6: TunnelValue {
  var remoteAddress: IPAddress { .v6(IPv6Address(inMemory: remote)) }

  init(_ key: TunnelKey, _ resolution: TunnelResolution, uplink: UInt32) {
    self.init()
    self.uplink = uplink
    if case .v6(let address) = key.remote { remote = address.words }
    vni_be = (key.vni << 8).bigEndian
    udp_port = key.port.bigEndian
    let header: TunnelHeader
    switch resolution {
    case .ready(let ready): header = ready
    case .kernel(let verdict, _):
      reason = UInt16(verdict.rawValue)
      if !verdict.leavesSenderKnown { remote = (0, 0, 0, 0) }
      return
    }
    setOctets(&dst_mac, header.destinationMAC)
    setOctets(&src_mac, header.sourceMAC)
    label = (6 << 28 | header.flowLabel & 0xfffff).bigEndian
    if case .v6(let address) = header.local { local = address.words }
    (source_min, source_max) = header.inclusivePorts
    ttl = header.ttl
    tos = header.tos
    flags = header.flags
    mtu = header.mtu
    valid = 1
  }
}

extension Verdict {
  /// Without a route that is usable, what comes from there is the kernel's to judge, too.
  fileprivate var leavesSenderKnown: Bool { self == .passNoNeighbour }
}

extension TunnelHeader {
  /// The kernel's range excludes its end (udp_flow_src_port); the maps' fields do not.
  fileprivate var inclusivePorts: (UInt16, UInt16) {
    (sourcePorts.lowerBound, max(sourcePorts.lowerBound, sourcePorts.upperBound &- 1))
  }
}

typealias Words4 = (UInt32, UInt32, UInt32, UInt32)

extension IPv6Address {
  /// As the address lies in memory on the wire, for `__be32[4]` fields.
  var words: Words4 {
    func word(_ half: UInt64, _ shift: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: half >> shift).bigEndian }
    return (word(high, 32), word(high, 0), word(low, 32), word(low, 0))
  }

  init(inMemory words: Words4) {
    func half(_ first: UInt32, _ second: UInt32) -> UInt64 {
      UInt64(UInt32(bigEndian: first)) << 32 | UInt64(UInt32(bigEndian: second))
    }
    self.init(high: half(words.0, words.1), low: half(words.2, words.3))
  }
}

typealias Octets6 = (UInt8, UInt8, UInt8, UInt8, UInt8, UInt8)

func setOctets(_ field: inout Octets6, _ mac: MACAddress) {
  let o = mac.octets
  field = (o[0], o[1], o[2], o[3], o[4], o[5])
}
