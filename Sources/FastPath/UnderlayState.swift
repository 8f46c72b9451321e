// SPDX-License-Identifier: Apache-2.0
import Netlink
import PacketHeaders

/// What the kernel knows about the underlay: the uplink and, for every remote
/// VTEP in use, the route and the next hop's neighbour. No I/O.
public struct UnderlayState: Sendable {
  public let uplinkIndex: Int32
  public private(set) var uplink: Link?
  public private(set) var neighbours: [IPAddress: Neighbour] = [:]
  /// The kernel's answer per remote VTEP; nil value: it has no route.
  public var routes: [IPv4Address: RouteDecision] = [:]
  /// net.ipv4.ip_default_ttl and ip_local_port_range of the VXLAN device's underlay.
  public var defaultTTL: UInt8 = 64
  public var localPortRange: ClosedRange<UInt16> = 32768...60999

  public init(uplink: Int32) { self.uplinkIndex = uplink }

  public mutating func reset(links: [Link], neighbours: [Neighbour]) {
    uplink = links.first { $0.index == uplinkIndex }
    self.neighbours = [:]
    for neighbour in neighbours where neighbour.link == uplinkIndex {
      self.neighbours[neighbour.address] = neighbour
    }
  }

  public enum Change: Sendable {
    case none
    /// A neighbour, or the uplink itself.
    case nextHop
    /// Every route must be asked for again.
    case routing
  }

  public mutating func apply(_ event: NetlinkEvent) -> Change {
    switch event {
    case .link(let link) where link.index == uplinkIndex:
      guard uplink != link else { return .none }
      let routing = uplink?.isUp != link.isUp || uplink?.hasCarrier != link.hasCarrier
      uplink = link
      return routing ? .routing : .nextHop
    case .linkGone(uplinkIndex, _):
      uplink = nil
      return .routing
    case .neighbour(let neighbour) where neighbour.link == uplinkIndex:
      let known = neighbours.updateValue(neighbour, forKey: neighbour.address)
      // REACHABLE, STALE, DELAY, PROBE come and go; only address and validity matter.
      return known?.mac == neighbour.mac && known?.isValid == neighbour.isValid ? .none : .nextHop
    case .neighbourGone(let neighbour) where neighbour.link == uplinkIndex:
      return neighbours.removeValue(forKey: neighbour.address) == nil ? .none : .nextHop
    case .routing: return .routing
    default: return .none
    }
  }
}
