// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import LinuxSystem
import Netlink

extension PolicyFacts {
  /// Looks at both namespaces; runs in the overlay's.
  /// - Parameter own: ids of tcx programs that are no policy.
  /// - Parameter entersEnds: the tier hands packets to a veth's other end past a program in its driver.
  static func gather(
    _ place: OverlayPlace, ports: [Link], own: Set<UInt32>, entersEnds: Bool
  ) throws -> PolicyFacts {
    var facts = PolicyFacts()
    facts.bridgeNetfilter = [
      "bridge-nf-call-iptables", "bridge-nf-call-ip6tables",
    ]
    .filter { Sysctl.read("net/bridge/\($0)") == "1" }
    facts.overlayRules = try place.overlayRules.rules()
    let here = [place.bridge, place.vxlan, place.isSplit ? nil : place.uplink].compactMap { $0?.index }
    let disciplines = try place.overlayConnection.value.queueingDisciplines()
    facts.overlayFilters = try filters(
      place.overlayConnection, behind: disciplines, on: Set(here + ports.map(\.index)), own)
    facts.overlayDisciplines = named(disciplines)
    if entersEnds { facts.endPrograms = endPrograms(ports, place.overlayConnection) }
    guard let uplink = place.uplink else { return facts }
    facts.rules = try place.underlayConnection.value.rules()
    try place.inUnderlay {
      facts.encryption = try IPsec.policies()
      guard place.isSplit else { return }
      facts.underlayRules = try place.underlayRules.rules()
      let disciplines = try place.underlayConnection.value.queueingDisciplines()
      facts.underlayFilters = try filters(
        place.underlayConnection, behind: disciplines, on: [uplink.index], own)
      facts.underlayDisciplines = named(disciplines)
    }
    facts.uplinkAddresses = Set(
      try place.underlayConnection.value.addresses().filter { $0.link == uplink.index }.map(\.address))
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
    let foreign = try connection.value.trafficFilters(behind: disciplines.filter { devices.contains($0.link) })
      .filter { $0.priority != TCFilter.priority }
    var found = Dictionary(grouping: foreign, by: \.link).mapValues { filters in
      filters.map { "a tc \($0.isIngress ? "ingress" : "egress") filter (\($0.kind))" }.sorted()
    }
    for device in devices {
      for hook in TCXQuery.Hook.allCases where !own.isSuperset(of: TCXQuery.programs(at: hook, of: device)) {
        found[device, default: []].append("a tcx \(hook) program")
      }
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
