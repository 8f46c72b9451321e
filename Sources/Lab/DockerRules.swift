// SPDX-License-Identifier: Apache-2.0
import LinuxSystem

/// The nftables rules that Docker has for a bridge network with published ports, by the names and in the order of its
/// iptables rules, each with its counter: containers reach each other, and are translated on the way out.
struct DockerRules {
  let bridge: String
  /// Each with the ports that are published for it.
  let containers: [(address: String, ports: ClosedRange<UInt16>)]

  var text: String {
    let subnet = ClusterRules.cluster
    let published = containers.map { container in
      (container, "tcp dport \(container.ports.lowerBound)-\(container.ports.upperBound) counter")
    }
    let translation = ClusterRules.table(
      "ip nat",
      [
        ClusterRules.chain(
          "PREROUTING", hook: "nat hook prerouting priority dstnat",
          ["fib daddr type local counter jump DOCKER"]),
        ClusterRules.chain(
          "OUTPUT", hook: "nat hook output priority -100",
          ["ip daddr != 127.0.0.0/8 fib daddr type local counter jump DOCKER"]),
        ClusterRules.chain(
          "POSTROUTING", hook: "nat hook postrouting priority srcnat",
          ["oifname != \(bridge) ip saddr \(subnet) counter masquerade"]
            // What a container sends to its own published port.
            + published.map { "ip saddr \($0.0.address) ip daddr \($0.0.address) \($0.1) masquerade" }),
        ClusterRules.chain(
          "DOCKER",
          ["iifname \(bridge) counter return"]
            + published.map { "iifname != \(bridge) \($0.1) dnat to \($0.0.address)" }),
      ])
    let filter = ClusterRules.table(
      "ip filter",
      [
        ClusterRules.chain(
          "FORWARD", hook: "filter hook forward priority filter", policy: "drop",
          [
            "counter jump DOCKER-USER", "counter jump DOCKER-ISOLATION-STAGE-1",
            "oifname \(bridge) ct state related,established counter accept",
            "oifname \(bridge) counter jump DOCKER", "iifname \(bridge) oifname != \(bridge) counter accept",
            "iifname \(bridge) oifname \(bridge) counter accept",
          ]),
        ClusterRules.chain(
          "DOCKER",
          published.map {
            "iifname != \(bridge) oifname \(bridge) ip daddr \($0.0.address) \($0.1) accept"
          }),
        ClusterRules.chain(
          "DOCKER-ISOLATION-STAGE-1",
          ["iifname \(bridge) oifname != \(bridge) counter jump DOCKER-ISOLATION-STAGE-2", "counter return"]),
        ClusterRules.chain("DOCKER-ISOLATION-STAGE-2", ["oifname \(bridge) counter drop", "counter return"]),
        ClusterRules.chain("DOCKER-USER", ["counter return"]),
      ])
    return translation + filter
  }
}

extension LabSpec {
  /// A bridge as it ships is Docker's.
  var isDockers: Bool { network == .bridge && bridgeNetfilter }
}

extension Lab {
  func buildDockerRules(_ host: LabHost) throws {
    let node = self.host(host)
    let containers = containers(of: host).map {
      (address: "\($0.address)", ports: spec.publishedPorts(of: $0.identity.container!))
    }
    try node.run {
      try FileText.write("1", to: "/proc/sys/net/ipv4/ip_forward")
      try NFTables.run(DockerRules(bridge: LabNames.bridge, containers: containers).text, on: node.name)
      // As on `nat`: connections that a client resets would stay for ten seconds, in the next trial's way.
      try FileText.write("1", to: "/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_close")
    }
  }
}
