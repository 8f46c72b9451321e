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
  /// Whose its programs are.
  private let owner: String
  /// The others of the same namespace in this process.
  fileprivate var others: () -> [Underlay] = { [] }

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
    let family = ProgramFamily.bridged(tier, isIPv6: isIPv6)
    owner = family.owner
    switch tier {
    case .xdp: self.tier = try XDPTier(options, family, report: report)
    case .afxdp: self.tier = try AFXDPTier(options, place, report: report)
    case .tc: self.tier = try TCTier(options, family, uplinks: namespace)
    }
  }

  /// One routed overlay's alone; runs in its namespace.
  init(_ options: FastPathOptions, _ tier: Tier, routed family: ProgramFamily, report: (String) -> Void) throws {
    namespace = Box(try NetworkNamespace.current())
    identity = namespace.value.identity
    mode = options.mode
    isIPv6 = family.isIPv6
    owner = family.owner
    ports = SlotPool(range: UInt32(CULVERT_NO_PORT) + 1..<options.portCapacity)
    self.tier =
      tier == .tc
      ? try TCTier(options, family, uplinks: namespace) : try XDPTier(options, family, report: report)
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
    let isTaken = { (other: Underlay) in other.tier.tier != .tc && other.uplinks[link.index]?.value != nil }
    if tier.tier != .tc, let other = others().first(where: isTaken) {
      throw Failure(
        "serve \(overlay) by", link.name, errno: .resourceBusy,
        advice: "Its one XDP program is that of \(other.owner), which this process serves; of the two, tier tc serves "
          + "one, or both.")
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

  /// Makes a container's port fit for the tier. Returns its veth peer, where the tier needs something of that, and what
  /// was changed there.
  /// - Parameter longest: why the port cannot have a peer with that MTU.
  func prepare(
    port link: Link, _ journal: JournalFile, in identity: NetworkNamespace.Identity, longest: (UInt32) -> String?
  ) throws -> (peer: VethPeer?, changes: String) {
    guard !tier.portEndFeatures.isEmpty else { return (nil, "") }
    let peer = try VethPeer.find(of: link, wanted: tier.portEndFeatures)
    if let reason = longest(peer.mtu) { throw Failure("serve", link.name, advice: reason) }
    let changes = try journal.prepare(peer, of: link, in: identity)
    try renewNAPI(peer, of: link)
    guard try canRedirect(to: link) else { throw RedirectTarget.failure(link) }
    return (peer, changes)
  }

  /// Why packets of a container with that MTU may be lost at `device`.
  func tooLong(_ mtu: UInt32, for device: Link) -> String {
    "its container's MTU of \(mtu) is above the \(device.mtu) of \(device.name): only segmentation offload gets such "
      + "packets through, and tier \(tier.tier.rawValue) would take it away; set the container's MTU to \(device.mtu)"
  }

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
  /// Each of one routed overlay.
  private var routed: [Entry] = []

  func underlay(
    of place: OverlayPlace, _ options: FastPathOptions, _ tier: Tier, report: (String) -> Void
  ) throws -> Underlay {
    let key = Key(namespace: place.underlayIdentity, tier: tier, isIPv6: place.isIPv6)
    if let underlay = known[key]?.underlay { return underlay }
    let underlay = try Underlay(options, tier, place, report: report)
    meet(underlay)
    known[key] = Entry(underlay: underlay)
    return underlay
  }

  /// A routed overlay's own; runs in its namespace.
  func underlay(
    routed family: ProgramFamily, _ options: FastPathOptions, _ tier: Tier, report: (String) -> Void
  ) throws -> Underlay {
    let underlay = try Underlay(options, tier, routed: family, report: report)
    meet(underlay)
    routed = routed.filter { $0.underlay != nil } + [Entry(underlay: underlay)]
    return underlay
  }

  private func meet(_ underlay: Underlay) {
    underlay.others = { [weak self, weak underlay] in
      let all = self.map { ($0.known.values + $0.routed).compactMap(\.underlay) } ?? []
      return all.filter { $0 !== underlay && $0.identity == underlay?.identity }
    }
  }
}
