// SPDX-License-Identifier: Apache-2.0
import Foundation
import LinuxSystem
import Netlink

extension PolicyFacts {
  /// Looks at both namespaces; runs in the overlay's.
  static func gather(_ place: OverlayPlace) throws -> PolicyFacts {
    var facts = PolicyFacts()
    facts.bridgeNetfilter = [
      "bridge-nf-call-iptables", "bridge-nf-call-ip6tables", "bridge-nf-call-arptables",
    ]
    .filter { Sysctl.read("net/bridge/\($0)") == "1" }
    facts.chains = try chains(.overlay)
    facts.chains += try place.inUnderlay { try chains(.underlay) }
    facts.overlayFilters = filters(try place.overlayConnection.value.trafficFilters())
    facts.underlayFilters =
      place.isSplit ? filters(try place.underlayConnection.value.trafficFilters()) : facts.overlayFilters
    return facts
  }

  private static func filters(_ found: [TrafficFilter]) -> [Int32: [String]] {
    Dictionary(grouping: found, by: \.link).mapValues { filters in
      filters.map { "a tc \($0.isIngress ? "ingress" : "egress") filter (\($0.kind))" }.sorted()
    }
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
    guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { return [] }
    return text.split(separator: "\n").map(String.init)
  }
}
