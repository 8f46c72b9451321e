// SPDX-License-Identifier: Apache-2.0
import PacketHeaders

/// Calico's chains. Its sets are written out: two hosts have one address each.
extension ClusterRules {
  /// Bits of the mark that are Calico's: accepted by policy, and from a container.
  private static let accepted = "0x10000"
  private static let fromContainer = "0x40000"

  private static func has(_ mark: String) -> String { "mark and \(mark) == \(mark)" }
  private static func lacks(_ mark: String) -> String { "mark and \(mark) == 0x0" }
  private static func clear(_ bits: UInt32) -> String {
    "counter meta mark set mark and 0x\(String(~bits, radix: 16))"
  }
  private static let accept = "counter meta mark set mark or \(accepted)"

  var calicoPostrouting: (chains: [String], jumps: [String]) {
    (
      [
        Self.chain("cali-PREROUTING", ["counter jump cali-fip-dnat"]),
        Self.chain("cali-OUTPUT", ["counter jump cali-fip-dnat"]),
        Self.chain(
          "cali-POSTROUTING",
          [
            "counter jump cali-fip-snat", "counter jump cali-nat-outgoing",
            "oifname \(spec.network.overlay!.device) fib saddr . oif type != local fib saddr type local "
              + "counter masquerade fully-random",
          ]),
        Self.chain("cali-fip-dnat", []), Self.chain("cali-fip-snat", []),
        Self.chain(
          "cali-nat-outgoing",
          ["ip saddr \(Self.cluster) ip daddr != \(Self.cluster) counter masquerade fully-random"]),
      ], ["counter jump cali-POSTROUTING"]
    )
  }

  var calicoTables: [String] {
    ["ip", "ip6"].flatMap { [raw($0), mangle($0), filter($0)] }
  }

  /// Marks what comes from containers, and drops what comes from one with another's address.
  private func raw(_ ip: String) -> String {
    let fromContainer = Self.has(Self.fromContainer)
    return Self.table(
      "\(ip) raw",
      [
        Self.chain(
          "PREROUTING", hook: "filter hook prerouting priority raw", ["counter jump cali-PREROUTING"]),
        Self.chain("OUTPUT", hook: "filter hook output priority raw", ["counter jump cali-OUTPUT"]),
        Self.chain(
          "cali-PREROUTING",
          [
            Self.clear(0xf0000),
            "iifname \"cali*\" counter meta mark set mark or \(Self.fromContainer)",
            "\(fromContainer) counter jump cali-rpf-skip",
            // Neighbour discovery's unspecified source (RFC 4861) has no route.
            (ip == "ip6" ? "ip6 saddr != :: " : "")
              + "\(fromContainer) fib saddr . mark . iif oif missing counter drop",
            "\(Self.lacks(Self.fromContainer)) counter jump cali-from-host-endpoint",
            "\(Self.has(Self.accepted)) counter accept",
          ]),
        Self.chain(
          "cali-OUTPUT",
          [
            Self.clear(0xf0000), "counter jump cali-to-host-endpoint",
            "\(Self.has(Self.accepted)) counter accept",
          ]),
        Self.chain("cali-rpf-skip", []), Self.chain("cali-from-host-endpoint", []),
        Self.chain("cali-to-host-endpoint", []),
      ])
  }

  private func mangle(_ ip: String) -> String {
    Self.table(
      "\(ip) mangle",
      [
        Self.chain(
          "PREROUTING", hook: "filter hook prerouting priority mangle", ["counter jump cali-PREROUTING"]),
        Self.chain(
          "POSTROUTING", hook: "filter hook postrouting priority mangle", ["counter jump cali-POSTROUTING"]),
        Self.chain(
          "cali-PREROUTING",
          [
            "ct state related,established counter accept",
            "\(Self.has(Self.accepted)) counter accept",
            "counter jump cali-from-host-endpoint",
            "\(Self.has(Self.accepted)) counter accept",
          ]),
        Self.chain(
          "cali-POSTROUTING",
          [
            "\(Self.has(Self.accepted)) counter return", Self.clear(0xf0000),
            "ct status dnat counter jump cali-to-host-endpoint",
            "\(Self.has(Self.accepted)) counter return",
          ]),
        Self.chain("cali-from-host-endpoint", []), Self.chain("cali-to-host-endpoint", []),
      ])
  }

  /// Policy per container: what answers is let through, what is new by policy only, the rest is dropped.
  private func filter(_ ip: String) -> String {
    let input = ip == "ip" ? vxlanInput : []
    let output = ip == "ip" ? vxlanOutput : []
    let accepted = Self.has(Self.accepted)
    return Self.table(
      "\(ip) filter",
      [
        Self.chain("INPUT", hook: "filter hook input priority filter", ["counter jump cali-INPUT"]),
        Self.chain(
          "FORWARD", hook: "filter hook forward priority filter",
          ["counter jump cali-FORWARD"] + Self.kubeForward.jumps + [
            "\(accepted) counter accept", Self.accept,
          ]),
        Self.chain("OUTPUT", hook: "filter hook output priority filter", ["counter jump cali-OUTPUT"]),
        Self.chain(
          "cali-INPUT",
          input + [
            "iifname \"cali*\" counter goto cali-wl-to-host", "\(accepted) counter accept",
            Self.clear(0xf0000), "counter jump cali-from-host-endpoint", "\(accepted) counter accept",
          ]),
        Self.chain(
          "cali-FORWARD",
          [
            Self.clear(0xe0000), "\(Self.lacks(Self.accepted)) counter jump cali-from-hep-forward",
            "iifname \"cali*\" counter jump cali-from-wl-dispatch",
            "oifname \"cali*\" counter jump cali-to-wl-dispatch",
            "counter jump cali-to-hep-forward", "counter jump cali-cidr-block",
          ]),
        Self.chain(
          "cali-OUTPUT",
          ["\(accepted) counter accept", "oifname \"cali*\" counter return"] + output + [
            Self.clear(0xf0000), "ct status dnat counter return", "counter jump cali-to-host-endpoint",
            "\(accepted) counter accept",
          ]),
        Self.chain("cali-wl-to-host", ["counter jump cali-from-wl-dispatch", "counter accept"]),
        Self.chain("cali-from-wl-dispatch", dispatch("iifname", "cali-fw") + ["counter drop"]),
        Self.chain("cali-to-wl-dispatch", dispatch("oifname", "cali-tw") + ["counter drop"]),
        Self.chain(
          "cali-pi-lab",
          [
            "meta l4proto { tcp, udp } th dport \(Self.ports) \(Self.accept)",
            "meta l4proto { icmp, ipv6-icmp } \(Self.accept)",
          ]),
        Self.chain("cali-pro-kns.default", [Self.accept, "\(accepted) counter return"]),
      ]
        + [
          "cali-from-hep-forward", "cali-to-hep-forward", "cali-cidr-block", "cali-from-host-endpoint",
          "cali-to-host-endpoint",
        ].map { Self.chain($0, []) }
        + containers.flatMap { policy(of: spec.hostPort($0)!) } + Self.kubeForward.chains)
  }

  private func dispatch(_ key: String, _ prefix: String) -> [String] {
    containers.map { spec.hostPort($0)! }.map { "\(key) \($0) counter goto \(prefix)-\($0)" }
  }

  private func policy(of port: String) -> [String] {
    func chain(_ prefix: String, _ before: [String], _ policy: String) -> String {
      Self.chain(
        "\(prefix)-\(port)",
        ["ct state related,established counter accept", "ct state invalid counter drop", Self.clear(0x10000)]
          + before + [
            "counter jump \(policy)", "\(Self.has(Self.accepted)) counter return", "counter drop",
          ])
    }
    return [
      chain("cali-tw", [], "cali-pi-lab"),
      chain(
        "cali-fw", ["udp dport \(LabNames.port) counter drop", "meta l4proto 4 counter drop"],
        "cali-pro-kns.default"),
    ]
  }

  /// Encapsulated packets of the other host only.
  private var vxlanInput: [String] {
    let port = "udp dport \(LabNames.port)"
    return [
      "\(port) ip saddr \(other) fib daddr type local counter accept",
      "\(port) fib daddr type local counter drop",
    ]
  }
  private var vxlanOutput: [String] {
    ["udp dport \(LabNames.port) ip daddr \(other) fib saddr type local counter accept"]
  }
  private var other: IPv4Address { LabIdentity(host: host.other, container: nil).address }
}
