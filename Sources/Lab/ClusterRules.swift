// SPDX-License-Identifier: Apache-2.0
import PacketHeaders

/// The nftables rules of one host of a cluster: kube-proxy's services, and the chains of flannel or Calico, with
/// the names and in the order of their iptables rules, each with its counter, as iptables has them.
struct ClusterRules {
  let spec: LabSpec
  let host: LabHost

  init(_ spec: LabSpec, on host: LabHost) {
    self.spec = spec
    self.host = host
  }

  /// All containers, and those of this host.
  static let cluster = "198.19.0.0/16"
  static let cluster6 = "2001:2::/64"
  /// kube-proxy's mark of what is to be masqueraded.
  static let masqueradeMark = "0x4000"
  /// What a service has, and Calico's policy lets in.
  static var ports: String { "\(LabNames.publishedPorts.lowerBound)-\(LabNames.publishedPorts.upperBound)" }

  var identity: LabIdentity { LabIdentity(host: host, container: nil) }
  var subnet: String { "\(identity.subnet)/24" }
  /// Of this host.
  var containers: [LabIdentity] { spec.identities.filter { $0.host == host && $0.container != nil } }

  var text: String {
    let isFlannel = spec.network == .flannel
    let tables = [services(postrouting: isFlannel ? flannelPostrouting : calicoPostrouting)]
    return (tables + (isFlannel ? flannelForwarding : calicoTables)).joined(separator: "\n")
  }

  /// A chain of its own, or with `hook` one that the kernel calls.
  static func chain(_ name: String, hook: String? = nil, policy: String = "accept", _ rules: [String])
    -> String
  {
    let head = hook.map { ["type \($0)", "policy \(policy)"] } ?? []
    return (["  chain \(name) {"] + (head + rules).map { "    \($0)" } + ["  }"]).joined(separator: "\n")
  }

  static func table(_ name: String, _ chains: [String]) -> String {
    "table \(name) {\n\(chains.joined(separator: "\n"))\n}\n"
  }
}

extension LabSpec.Network {
  /// nftables tables of its hosts.
  var tables: [String] {
    switch self {
    case .nat: ["ip \(LabNames.table)"]
    case .bridge: ["ip nat", "ip filter"]
    case .flannel: ["ip nat", "ip filter", "ip6 filter"]
    case .calico:
      ["ip nat"] + ["ip", "ip6"].flatMap { ip in ["raw", "mangle", "filter"].map { "\(ip) \($0)" } }
    default: []
    }
  }
}

// MARK: - kube-proxy

extension ClusterRules {
  /// A ClusterIP per container of either host: destination NAT where the client is.
  func services(postrouting: (chains: [String], jumps: [String])) -> String {
    let backends = spec.identities.filter { $0.container != nil }
    let dispatch = backends.flatMap { backend in
      ["tcp", "udp"].map {
        "ip daddr \(backend.serviceAddress!) \($0) dport \(Self.ports) counter jump KUBE-SVC-\(backend.name)"
      }
    }
    let each = backends.flatMap { backend in
      [
        Self.chain(
          "KUBE-SVC-\(backend.name)",
          [
            "ip saddr != \(Self.cluster) counter jump KUBE-MARK-MASQ",
            "counter jump KUBE-SEP-\(backend.name)",
          ]),
        Self.chain(
          "KUBE-SEP-\(backend.name)",
          ["ip saddr \(backend.address) counter jump KUBE-MARK-MASQ", "counter dnat to \(backend.address)"]),
      ]
    }
    let isCalico = spec.network == .calico
    let first = isCalico ? ["counter jump cali-PREROUTING"] : []
    return Self.table(
      "ip nat",
      [
        Self.chain(
          "PREROUTING", hook: "nat hook prerouting priority dstnat", first + ["counter jump KUBE-SERVICES"]),
        Self.chain(
          "OUTPUT", hook: "nat hook output priority -100",
          (isCalico ? ["counter jump cali-OUTPUT"] : []) + ["counter jump KUBE-SERVICES"]),
        Self.chain(
          "POSTROUTING", hook: "nat hook postrouting priority srcnat",
          (isCalico ? postrouting.jumps : []) + ["counter jump KUBE-POSTROUTING"]
            + (isCalico ? [] : postrouting.jumps)),
        Self.chain("KUBE-SERVICES", dispatch + ["fib daddr type local counter jump KUBE-NODEPORTS"]),
        Self.chain("KUBE-NODEPORTS", []),
        Self.chain("KUBE-MARK-MASQ", ["counter meta mark set mark or \(Self.masqueradeMark)"]),
        Self.chain(
          "KUBE-POSTROUTING",
          [
            "mark and \(Self.masqueradeMark) != \(Self.masqueradeMark) counter return",
            "counter meta mark set mark xor \(Self.masqueradeMark)",
            "counter masquerade fully-random",
          ]),
      ] + each + postrouting.chains)
  }

  /// Jumps at the head of FORWARD, and the chains.
  static let kubeForward: (jumps: [String], chains: [String]) = (
    [
      "ct state new counter jump KUBE-PROXY-FIREWALL", "counter jump KUBE-FORWARD",
      "ct state new counter jump KUBE-SERVICES", "ct state new counter jump KUBE-EXTERNAL-SERVICES",
    ],
    [
      chain(
        "KUBE-FORWARD",
        [
          "ct state invalid counter drop",
          "mark and \(masqueradeMark) == \(masqueradeMark) counter accept",
          "ct state related,established counter accept",
        ]),
      chain("KUBE-PROXY-FIREWALL", []), chain("KUBE-SERVICES", []), chain("KUBE-EXTERNAL-SERVICES", []),
    ]
  )
}

// MARK: - flannel

extension ClusterRules {
  /// Masquerades what leaves the cluster: nothing that containers send each other.
  private var flannelPostrouting: (chains: [String], jumps: [String]) {
    let cluster = Self.cluster
    return (
      [
        Self.chain(
          "FLANNEL-POSTRTG",
          [
            "mark and \(Self.masqueradeMark) == \(Self.masqueradeMark) counter return",
            "ip saddr \(subnet) ip daddr \(cluster) counter return",
            "ip saddr \(cluster) ip daddr \(subnet) counter return",
            "ip saddr != \(cluster) ip daddr \(subnet) counter return",
            "ip saddr \(cluster) ip daddr != 224.0.0.0/4 counter masquerade fully-random",
            "ip saddr != \(cluster) ip daddr \(cluster) counter masquerade fully-random",
          ])
      ], ["counter jump FLANNEL-POSTRTG"]
    )
  }

  private var flannelForwarding: [String] {
    [("ip", Self.cluster), ("ip6", Self.cluster6)].map { ip, cluster in
      Self.table(
        "\(ip) filter",
        [
          Self.chain(
            "FORWARD", hook: "filter hook forward priority filter", policy: "drop",
            Self.kubeForward.jumps + ["counter jump FLANNEL-FWD"]),
          Self.chain(
            "FLANNEL-FWD", ["\(ip) saddr \(cluster) counter accept", "\(ip) daddr \(cluster) counter accept"]),
        ] + Self.kubeForward.chains)
    }
  }
}
