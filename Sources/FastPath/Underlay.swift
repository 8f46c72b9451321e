// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import CBPFObjects
import LinuxSystem
import Netlink

/// What the overlays share that leave by the uplinks of one namespace by one tier, over one IP: maps, programs of the uplinks,
/// workers, and the numbers of what the maps hold.
final class Underlay {
  let identity: NetworkNamespace.Identity
  let tier: any PacketTier
  /// Its programs and maps are of one IP.
  let isIPv6: Bool
  /// Of map `ports` and all that is indexed like it.
  let ports: SlotPool
  /// Of map `tunnels`.
  let tunnels = SlotPool(range: 0..<ForwardingTable.tunnelCapacity)
  private let domains = SlotPool(range: 1..<UInt32(UInt16.max))

  private let namespace: Box<NetworkNamespace>
  private let mode: XDPMode
  private var uplinks: [Int32: Weak<Uplink>] = [:]
  /// The one over the other IP, where there is one.
  var sibling: (() -> Underlay?)?

  private struct Weak<T: AnyObject> {
    weak var value: T?
  }

  /// - Parameter place: the first overlay's; of later ones, frames that are longer than its stay with the kernel.
  init(_ options: FastPathOptions, _ tier: Tier, _ place: OverlayPlace, report: (String) -> Void) throws {
    namespace = try place.inUnderlay { Box(try NetworkNamespace.current()) }
    identity = namespace.value.identity
    mode = options.mode
    isIPv6 = place.isIPv6
    ports = SlotPool(range: UInt32(CULVERT_NO_PORT) + 1..<options.portCapacity)
    switch tier {
    case .xdp: self.tier = try XDPTier(options, isIPv6: isIPv6, report: report)
    case .afxdp: self.tier = try AFXDPTier(options, place, report: report)
    case .tc: self.tier = try TCTier(options, uplinks: namespace, isIPv6: isIPv6)
    }
  }

  /// A forwarding domain, with the program of its ports loaded.
  func takeDomain() throws -> UInt32 {
    guard let domain = domains.take(now: Clock.monotonicNanoseconds) else {
      throw Failure("serve", "another overlay", advice: "All \(UInt16.max) domains are taken.")
    }
    do {
      try tier.prepare(.workload(domain: domain), slot: 0)
    } catch {
      domains.give(back: domain, now: Clock.monotonicNanoseconds)
      throw error
    }
    return domain
  }

  /// Its entries and ports are gone.
  func give(backDomain domain: UInt32) {
    tier.forget(.workload(domain: domain), slot: 0)
    domains.give(back: domain, now: Clock.monotonicNanoseconds)
  }

  /// The one of that interface, made for `overlay` where there is none.
  func uplink(
    _ link: Link, for overlay: String, in name: String, report: @escaping (String) -> Void
  ) throws -> Uplink {
    if let known = uplinks[link.index]?.value { return known }
    if tier.tier != .tc, sibling?()?.uplinks[link.index]?.value != nil {
      throw Failure(
        "serve \(overlay) by", link.name, errno: .resourceBusy,
        advice: "Its one XDP program is that of overlays over \(isIPv6 ? "IPv4" : "IPv6"), which this process serves; "
          + "of both IPs, tier tc serves one, or both.")
    }
    if tier.tier != .tc, let owner = UplinkOwner(of: link) {
      throw UplinkTaken(process: owner.process, failure: owner.failure(for: overlay, in: name, by: link.name))
    }
    let device = Device(namespace: identity, index: link.index)
    let uplink = try Uplink(link, device, self, report: report)
    uplinks[link.index] = Weak(value: uplink)
    return uplink
  }

  /// Runs `body` in its namespace.
  func inside<T>(_ body: () throws -> T) throws -> T {
    if NetworkNamespace.identity(at: "/proc/thread-self/ns/net") == identity { return try body() }
    return try namespace.value.run(body)
  }

  // MARK: - What a device must be; these run in its namespace

  func canRedirect(to link: Link) throws -> Bool {
    try tier.redirection != .always || RedirectTarget.isReady(link, mode: mode)
  }

  /// For a tier that redirects: makes the device a target if it is none.
  func renewNAPI(_ peer: VethPeer, of link: Link) throws {
    if try tier.redirection != .none && !RedirectTarget.isReady(link, mode: mode) {
      try peer.renewNAPI()
    }
  }

  /// nil also while a device is about to vanish: that is netlink's news.
  func objection(to link: Link, peer: VethPeer?, longest: (UInt32) -> String? = { _ in nil }) -> String? {
    if let peer {
      guard let state = try? peer.state() else { return "its veth peer is gone, or in another namespace" }
      if !state.differing.isEmpty {
        let names = state.differing.map { "\($0.key) \($0.value ? "on" : "off")" }.sorted().joined(
          separator: ", ")
        return "its veth peer was set to \(names)"
      }
      if let reason = longest(state.mtu) { return reason }
    }
    guard let isReady = try? canRedirect(to: link), !isReady else { return nil }
    return Engine.oneLine(RedirectTarget.failure(link))
  }
}

/// The underlays of a process, each as long as an overlay uses it.
final class Underlays {
  let looks = NamespaceLooks()
  private struct Key: Hashable {
    var namespace: NetworkNamespace.Identity
    var tier: Tier
    var isIPv6: Bool
  }
  private struct Entry {
    weak var underlay: Underlay?
  }
  private var known: [Key: Entry] = [:]

  func underlay(
    of place: OverlayPlace, _ options: FastPathOptions, _ tier: Tier, report: (String) -> Void
  ) throws -> Underlay {
    let key = Key(namespace: place.underlayIdentity, tier: tier, isIPv6: place.isIPv6)
    if let underlay = known[key]?.underlay { return underlay }
    let underlay = try Underlay(options, tier, place, report: report)
    var other = key
    other.isIPv6.toggle()
    underlay.sibling = { [weak self] in self?.known[other]?.underlay }
    known[key] = Entry(underlay: underlay)
    return underlay
  }
}
