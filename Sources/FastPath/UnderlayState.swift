// SPDX-License-Identifier: Apache-2.0
import Netlink
import PacketHeaders

/// What the kernel knows about the underlay: the uplink and, for every remote
/// VTEP in use, the route and the next hop's neighbour. No I/O.
public struct UnderlayState: Sendable {
  /// nil: nothing leaves the host.
  public let uplinkIndex: Int32?
  public private(set) var uplink: Link?
  public private(set) var neighbours: [IPAddress: Neighbour] = [:]
  /// The kernel's answers, as far as it has routes, for the remote VTEPs in use.
  public var routes: [RouteKey: RouteDecision] = [:]
  /// Every interface: whether one is up decides which routes there are, without an announcement of them.
  private var links: [Int32: LinkState] = [:]

  /// What IPsec protects.
  public var encryption: [IPsecPolicy] = []

  private struct LinkState: Equatable {
    var name: String
    var isUp: Bool
    var hasCarrier: Bool
    init(_ link: Link) { (name, isUp, hasCarrier) = (link.name, link.isUp, link.hasCarrier) }
  }

  func name(of link: Int32) -> String { links[link]?.name ?? "interface \(link)" }
  /// net.ipv4.ip_default_ttl and ip_local_port_range of the VXLAN device's underlay.
  public var defaultTTL: UInt8 = 64
  public var localPortRange: ClosedRange<UInt16> = 32768...60999

  /// net.ipv6.conf.UPLINK's hop_limit and mtu.
  public var ipv6 = IPv6Settings()
  public struct IPv6Settings: Equatable, Sendable {
    public var hopLimit: UInt8 = 64
    public var mtu: UInt32?
  }

  public init(uplink: Int32?) { self.uplinkIndex = uplink }

  public mutating func reset(links: [Link], neighbours: [Neighbour]) {
    uplink = links.first { $0.index == uplinkIndex }
    self.links = Dictionary(links.map { ($0.index, LinkState($0)) }, uniquingKeysWith: { $1 })
    self.neighbours = [:]
    for neighbour in neighbours where neighbour.link == uplinkIndex {
      self.neighbours[neighbour.address] = neighbour
    }
  }

  public enum Change: Sendable {
    case none
    /// The neighbour of this address.
    case nextHop(IPAddress)
    /// The uplink itself.
    case uplink
    /// Routes must be asked for again.
    case routing(RoutingChange)
  }

  public mutating func apply(_ event: NetlinkEvent) -> Change {
    switch event {
    case .link(let link):
      let state = LinkState(link)
      // A new one has no routes until they are announced.
      let before = links.updateValue(state, forKey: link.index) ?? state
      let routing = before.isUp != state.isUp || before.hasCarrier != state.hasCarrier
      if link.index == uplinkIndex {
        guard uplink != link else { return .none }
        uplink = link
        return routing ? .routing(.everything) : .uplink
      }
      return routing ? .routing(.everything) : .none
    case .linkGone(let index, _):
      let before = links.removeValue(forKey: index)
      if index == uplinkIndex { uplink = nil }
      return index == uplinkIndex || before?.isUp == true ? .routing(.everything) : .none
    case .neighbour(let neighbour) where neighbour.link == uplinkIndex:
      let known = neighbours.updateValue(neighbour, forKey: neighbour.address)
      // REACHABLE, STALE, DELAY, PROBE come and go; only address and validity matter.
      return known?.mac == neighbour.mac && known?.isValid == neighbour.isValid
        ? .none : .nextHop(neighbour.address)
    case .neighbourGone(let neighbour) where neighbour.link == uplinkIndex:
      return neighbours.removeValue(forKey: neighbour.address) == nil
        ? .none : .nextHop(neighbour.address)
    case .routing(let change): return .routing(change)
    default: return .none
    }
  }

  /// Who the packets of a route are handed to.
  func nextHop(of key: RouteKey) -> IPAddress? {
    routes[key].map { $0.gateway ?? key.remote }
  }
}
