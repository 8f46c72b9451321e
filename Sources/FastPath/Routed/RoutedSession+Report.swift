// SPDX-License-Identifier: Apache-2.0
import Glibc
import LinuxSystem
import Netlink

/// What `status` and `stats` say.
extension RoutedSession {
  func status() throws -> Status {
    var counts = Status.Entries()
    for entry in entries.values {
      switch entry.target {
      case .local: counts.local += 1
      case .remote: counts.remote += 1
      case .kernel: counts.kernel += 1
      }
    }
    let reason = reasons.isEmpty ? nil : reasons.joined(separator: "; ")
    let isAttached = uplinkPort.isAttached
    var all = [
      Status.Port(
        name: uplink.name, index: uplink.index, role: "uplink", tier: isAttached ? tier.tier.rawValue : nil,
        mode: isAttached ? tier.mode(slot: uplinkPort.slot) : nil,
        reason: isAttached ? nil : reason ?? uplinkReason ?? "no port is served")
    ]
    for port in ports.values.sorted(by: { $0.link.index < $1.link.index }) {
      all.append(
        Status.Port(
          name: port.link.name, index: port.link.index, role: "container", tier: port.slot.map { _ in tier.tier.rawValue },
          mode: port.slot.map { tier.mode(slot: $0) }, reason: port.slot == nil ? port.reason ?? reason : nil))
    }
    let used = Dictionary(grouping: entries.values.compactMap { entry -> UInt32? in
      if case .remote(let slot) = entry.target { slot } else { nil }
    }, by: { $0 })
    let tunnels = self.tunnels.sorted { ($0.key.remote, $0.key.vni) < ($1.key.remote, $1.key.vni) }.map { key, tunnel in
      var why: String?
      if case .kernel(_, let text) = tunnel.resolution { why = text }
      return Status.Tunnel(
        remote: "\(key.remote)", port: key.port, vni: key.vni, entries: used[tunnel.slot]?.count ?? 0, reason: why)
    }
    return Status(
      pid: getpid(), state: "ready", namespace: directory.owner?.namespace ?? "", overlay: name, bridge: name,
      vxlan: name, vni: vxlan.vxlan?.vni ?? 0, uplink: uplink.name, tier: tier.tier.rawValue, mode: tier.mode,
      strict: false, ports: all, entries: counts, tunnels: tunnels, changes: journal.journal.summary,
      outerChecksum: options.outerChecksum.rawValue,
      segmentChecksum: Status.segmentChecksum(options, tier.tier, vxlan.vxlan), policy: options.policy.rawValue,
      connections: Status.Connections(InnerIP.allCases.compactMap { connections[$0]?.counters }), left: leftInside)
  }

  func stats() throws -> Stats {
    var all = [Stats.Port(uplink, uplinkPort.isAttached ? tier.tier : nil, try uplinkPort.counters())]
    for port in ports.values.sorted(by: { $0.link.index < $1.link.index }) {
      var counters = port.past
      if let slot = port.slot { counters.add(try tier.counters(slot: slot)) }
      all.append(Stats.Port(port.link, port.slot == nil ? nil : tier.tier, counters))
    }
    return Stats(overlay: name, namespace: directory.owner?.namespace ?? "", ports: all, workers: nil)
  }
}
