// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import LinuxSystem
import Netlink

extension PolicyFacts {
  /// Looks at both namespaces; runs in the overlay's.
  /// - Parameters:
  ///   - age: what other overlays asked the same namespaces may be so old, in nanoseconds.
  ///   - ends: ports whose veth peers have a native XDP program; nil to ask for them.
  ///   - own: of the ids of tcx programs that were found, at least those that are no policy.
  static func gather(
    _ place: OverlayPlace, ports: [Link], looks: NamespaceLooks, age: UInt64, ends: Set<Int32>?,
    own: (Set<UInt32>) -> Set<UInt32>
  ) throws -> PolicyFacts {
    var facts = PolicyFacts()
    facts.bridgeNetfilter = [
      "bridge-nf-call-iptables", "bridge-nf-call-ip6tables",
    ]
    .filter { looks.sysctl("net/bridge/\($0)", place.identity, age: age) == "1" }
    // A program is attached without an announcement; that nobody has one is one question for all devices.
    let mayHaveOthers = !looks.onlyOwnClassifiers(own([]), age: age)
    func tcx(on devices: [Int32]) -> [Int32: [String]] { mayHaveOthers ? tcxPrograms(on: devices, own) : [:] }
    let here = try looks.look(place.identity, place.overlayConnection, age: age)
    facts.overlayRules = here.rules
    let uplinkHere = place.isSplit ? nil : place.uplink
    let devices = (ports + [place.bridge, place.vxlan, uplinkHere].compactMap { $0 }).map(\.index)
    facts.overlayFilters = here.filters.merging(tcx(on: devices)) { $0 + $1 }
    facts.overlayDisciplines = here.disciplines
    facts.endPrograms = ends ?? endPrograms(ports, place.overlayConnection)
    guard let uplink = place.uplink else { return facts }
    try place.inUnderlay {
      let under = try looks.underlayLook(
        place.underlayIdentity, isIPv6: place.isIPv6, place.underlayConnection, age: age)
      facts.rules = under.routingRules
      facts.encryption = under.encryption
      facts.uplinkAddresses = Set(under.addresses.filter { $0.link == uplink.index }.map(\.address))
      guard place.isSplit else { return }
      let there = try looks.look(place.underlayIdentity, place.underlayConnection, age: age)
      facts.underlayRules = there.rules
      facts.underlayFilters = there.filters.merging(tcx(on: [uplink.index])) { $0 + $1 }
      facts.underlayDisciplines = there.disciplines
    }
    if !place.isSplit {
      facts.underlayRules = facts.overlayRules
      facts.underlayFilters = facts.overlayFilters
      facts.underlayDisciplines = facts.overlayDisciplines
    }
    return facts
  }

  static func named(_ disciplines: [QueueingDiscipline]) -> [Int32: [String]] {
    var found: [Int32: [String]] = [:]
    for discipline in disciplines {
      guard !Policy.harmless.contains(discipline.kind) || discipline.pacesFlows else { continue }
      let kind = "qdisc \(discipline.kind)\(discipline.pacesFlows ? " with a maxrate" : "")"
      let text = discipline.isRoot ? kind : "\(kind) below another"
      if found[discipline.link]?.contains(text) != true { found[discipline.link, default: []].append(text) }
    }
    return found
  }

  /// Native XDP programs of the ports' other ends, asked for from here: nothing keeps their namespaces.
  static func endPrograms(_ ports: [Link], _ connection: Box<RouteConnection>) -> Set<Int32> {
    var found: Set<Int32> = []
    for port in ports where port.kind == "veth" {
      // One that is about to vanish is netlink's news.
      guard let peer = port.peer, let id = port.peerNamespaceID,
        let end = try? connection.value.link(index: peer, namespaceID: id)
      else { continue }
      // XDP_ATTACHED_NONE is 0, XDP_ATTACHED_SKB 2: a generic one is run.
      if ![0, 2].contains(end.xdpAttached) { found.insert(port.index) }
    }
    return found
  }

  /// Of these devices alone: other overlays' are in the namespace too.
  static func filters(
    _ connection: Box<RouteConnection>, behind disciplines: [QueueingDiscipline], on devices: Set<Int32>,
    _ own: Set<UInt32>
  ) throws -> [Int32: [String]] {
    let disciplines = disciplines.filter { devices.contains($0.link) }
    return try foreignFilters(connection, behind: disciplines)
      .merging(tcxPrograms(on: Array(devices)) { _ in own }) { $0 + $1 }
  }

  /// Filters of tc that are not Culvert's, of the interfaces of these disciplines.
  static func foreignFilters(
    _ connection: Box<RouteConnection>, behind disciplines: [QueueingDiscipline]
  ) throws -> [Int32: [String]] {
    let foreign = try connection.value.trafficFilters(behind: disciplines).filter {
      $0.priority != TCFilter.priority
    }
    return Dictionary(grouping: foreign, by: \.link).mapValues { filters in
      filters.map { "a tc \($0.isIngress ? "ingress" : "egress") filter (\($0.kind))" }.sorted()
    }
  }

  /// - Parameter own: asked for after what is attached, so that what another process has just attached is known.
  private static func tcxPrograms(on devices: [Int32], _ own: (Set<UInt32>) -> Set<UInt32>) -> [Int32: [String]] {
    var attached: [(device: Int32, hook: TCXQuery.Hook, programs: [UInt32])] = []
    for device in devices {
      for hook in TCXQuery.Hook.allCases {
        let programs = TCXQuery.programs(at: hook, of: device)
        if !programs.isEmpty { attached.append((device, hook, Array(programs))) }
      }
    }
    guard !attached.isEmpty else { return [:] }
    let own = own(Set(attached.flatMap(\.programs)))
    var found: [Int32: [String]] = [:]
    for (device, hook, programs) in attached where !own.isSuperset(of: programs) {
      found[device, default: []].append("a tcx \(hook) program")
    }
    return found
  }
}

/// /proc of the calling thread's namespace.
enum Sysctl {
  static func read(_ name: String) -> String? { lines("/proc/sys/\(name)").first }

  static func lines(_ path: String) -> [String] {
    guard let text = try? FileText.read(path) else { return [] }
    return text.split(separator: "\n").map(String.init)
  }
}
