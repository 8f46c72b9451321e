// SPDX-License-Identifier: Apache-2.0
import PacketHeaders

/// Packets as rules of netfilter look at them: what all that are meant have in common. What is not said is unknown.
public struct PacketShape: Sendable, Hashable {
  /// A device by which they come or go; several have in common what their names begin with.
  struct Device: Sendable, Hashable {
    var name = PacketBits(unknown: 16)
    var index = PacketBits(unknown: 4)
    init() {}
    init(_ devices: [(name: String, index: Int32)]) {
      name = PacketBits(
        common: devices.map { device in
          let bytes = Array(device.name.utf8.prefix(15))
          return bytes + Array(repeating: 0, count: 16 - bytes.count)
        }, count: 16)
      index = PacketBits(
        common: devices.map { withUnsafeBytes(of: $0.index) { Array($0) } }, count: 4)
    }
  }

  /// NFPROTO_IPV4 or NFPROTO_IPV6: what is in the frame.
  var isIPv4: Bool
  /// NFPROTO_* as the hook has it.
  var hookFamily: UInt8?
  var protocolNumber: UInt8?
  var link = PacketBits(unknown: 14)
  var network = PacketBits(unknown: 40)
  var transport = PacketBits(unknown: 16)
  /// skb->mark: rules that set one count by themselves.
  var mark = PacketBits([0, 0, 0, 0])
  /// IP_CT bits as nftables has them in `ct state`.
  var connectionState = PacketBits(unknown: 4)
  /// Their source is not their destination, by address.
  var endsDiffer = false
  var input = Device()
  var output = Device()
  /// Their source, their destination is an address of this host's.
  var sourceIsLocal = false
  var destinationIsLocal = false
  /// A packet back to its sender would leave by `input`: whoever forwards it has looked.
  var returnsByInput = false

  /// VXLAN between these, over IPv4 unless one of them is IPv6's, leaving or arriving by `uplink`.
  /// - Parameters:
  ///   - from, to: the sender's and the receiver's addresses, each one of several.
  public static func vxlan(
    from: [IPAddress], to: [IPAddress], ports: [UInt16], uplink: (name: String, index: Int32),
    isLeaving: Bool
  ) -> PacketShape {
    let isIPv6 = (from + to).contains { $0.isIPv6 }
    var shape = PacketShape(isIPv4: !isIPv6, protocolNumber: 17)
    if isIPv6 {
      shape.setVersion(6)
      shape.network.set([17], at: 6)
      shape.network.set(PacketBits(common: from.map(\.octets), count: 16), at: 8)
      shape.network.set(PacketBits(common: to.map(\.octets), count: 16), at: 24)
    } else {
      shape.network = PacketBits(unknown: 20)
      shape.network.set([0x45], at: 0)
      // The fast path takes no fragments: no offset, nothing follows.
      for bit in 0..<8 where bit != 6 { shape.network.setBit(1 << bit, of: 6, to: false) }
      shape.network.set([0], at: 7)
      shape.network.set([17], at: 9)
      shape.network.set(PacketBits(common: from.map(\.octets), count: 4), at: 12)
      shape.network.set(PacketBits(common: to.map(\.octets), count: 4), at: 16)
    }
    shape.transport.set(
      PacketBits(common: ports.map { [UInt8($0 >> 8), UInt8($0 & 0xff)] }, count: 2), at: 2)
    shape.transport.set([8, 0, 0, 0], at: 8)
    shape.link.set(isIPv6 ? [0x86, 0xdd] : [8, 0], at: 12)
    // Conntrack calls no whole UDP packet invalid, nor one that no helper expects related.
    shape.connectionState.setBit(1, of: 0, to: false)
    shape.connectionState.setBit(4, of: 0, to: false)
    if isLeaving { shape.output = Device([uplink]) } else { shape.input = Device([uplink]) }
    shape.sourceIsLocal = isLeaving
    shape.destinationIsLocal = !isLeaving
    return shape
  }

  /// Unicast IP packets that a bridge forwards.
  /// - Parameters:
  ///   - input, output: how the rules see the devices: as the bridge (layer 3 families), or as its ports.
  ///   - endsDiffer: none that goes to the address that it comes from.
  public static func bridged(
    isIPv4: Bool, input: [(name: String, index: Int32)], output: [(name: String, index: Int32)],
    endsDiffer: Bool = false
  ) -> PacketShape {
    var shape = PacketShape(isIPv4: isIPv4)
    shape.endsDiffer = endsDiffer
    // To one address, never ARP.
    shape.link.setBit(1, of: 0, to: false)
    shape.link.set(isIPv4 ? [8, 0] : [0x86, 0xdd], at: 12)
    shape.setVersion(isIPv4 ? 4 : 6)
    shape.input = Device(input)
    shape.output = Device(output)
    return shape
  }

  private mutating func setVersion(_ version: UInt8) {
    for bit in 4..<8 { network.setBit(1 << bit, of: 0, to: version << 4 & (1 << bit) != 0) }
  }

  private init(isIPv4: Bool, protocolNumber: UInt8? = nil) {
    self.isIPv4 = isIPv4
    hookFamily = isIPv4 ? 2 : 10
    self.protocolNumber = protocolNumber
  }

  /// As a chain of this family sees them at its hook: before the route is known, or after the packet was made.
  func at(_ hook: UInt32, of family: String) -> PacketShape {
    var shape = self
    if family == "bridge" || family == "netdev" { shape.hookFamily = nil }
    // A device's own hooks are numbered otherwise.
    if family == "netdev" || hook == 5 { return shape }
    // NF_INET_PRE_ROUTING and LOCAL_IN; LOCAL_OUT and POST_ROUTING.
    if hook <= 1 { shape.output = Device() }
    if hook >= 3 { shape.input = Device() }
    return shape
  }

  func payload(_ base: UInt32, _ offset: Int, _ count: Int) -> PacketBits {
    switch base {
    case 0: link.part(offset, count)
    case 1: network.part(offset, count)
    case 2: transport.part(offset, count)
    default: PacketBits(unknown: count)
    }
  }

  /// NFT_META_*.
  func meta(_ key: UInt32) -> PacketBits {
    switch key {
    case 1: PacketBits(isIPv4 ? [8, 0] : [0x86, 0xdd])
    case 3: mark
    case 4: input.index
    case 5: output.index
    case 6: input.name
    case 7: output.name
    case 15: hookFamily.map { PacketBits([$0]) } ?? PacketBits(unknown: 1)
    case 16: protocolNumber.map { PacketBits([$0]) } ?? PacketBits(unknown: 1)
    default: PacketBits(unknown: 16)
    }
  }
}
