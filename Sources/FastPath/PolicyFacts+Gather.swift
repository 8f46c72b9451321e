// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import LinuxSystem
import Netlink

extension PolicyFacts {
  /// Looks at both namespaces; runs in the overlay's.
  /// - Parameter own: ids of tcx programs that are no policy.
  static func gather(_ place: OverlayPlace, own: Set<UInt32>) throws -> PolicyFacts {
    var facts = PolicyFacts()
    facts.bridgeNetfilter = [
      "bridge-nf-call-iptables", "bridge-nf-call-ip6tables", "bridge-nf-call-arptables",
    ]
    .filter { Sysctl.read("net/bridge/\($0)") == "1" }
    facts.chains = try chains(.overlay)
    facts.chains += try place.inUnderlay { try chains(.underlay) }
    let links = try place.overlayConnection.value.links()
    facts.overlayFilters = try filters(place.overlayConnection, on: links.map(\.index), own)
    facts.underlayFilters =
      place.isSplit
      ? try place.inUnderlay { try filters(place.underlayConnection, on: [place.uplink.index], own) }
      : facts.overlayFilters
    facts.transformPolicies = try place.inUnderlay { try IPsec.policies() }
    return facts
  }

  private static func filters(
    _ connection: Box<RouteConnection>, on devices: [Int32], _ own: Set<UInt32>
  ) throws -> [Int32: [String]] {
    let foreign = try connection.value.trafficFilters().filter {
      $0.handle != TCFilter.handle || $0.priority != TCFilter.priority
    }
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

  private static func chains(_ place: PacketChain.Place) throws -> [PacketChain] {
    var chains = try Netfilter.chains()
      // Forwarding (2) concerns neither what the host encapsulates nor what it receives for itself.
      .filter { !$0.isEmpty && !(["ip", "inet"].contains($0.family) && $0.hook == 2) }
      .map {
        PacketChain(place: place, family: $0.family, name: "\($0.table) \($0.name)", devices: $0.devices)
      }
    for table in Sysctl.lines("/proc/thread-self/net/ip_tables_names") {
      chains.append(PacketChain(place: place, family: "ip", name: "\(table) (iptables-legacy)"))
    }
    return chains
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
