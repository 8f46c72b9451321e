// SPDX-License-Identifier: Apache-2.0
import CBPFObjects
import Glibc
import Netlink

/// What `status` and `stats` show.
extension Engine {
  func status() -> Status {
    var entries = Status.Entries()
    for entry in table.entries.values {
      switch entry.target {
      case .local: entries.local += 1
      case .remote: entries.remote += 1
      case .kernel: entries.kernel += 1
      }
    }
    entries.refused = table.refused.count
    let ports =
      (uplink.map { [status($0)] } ?? [])
      + ports.values.sorted { $0.link.index < $1.link.index }.map { status($0, role: "container") }
    let behind = table.entriesByTunnel
    let tunnels = table.tunnels.sorted { ($0.key.remote, $0.key.vni) < ($1.key.remote, $1.key.vni) }.map {
      key, tunnel in
      var reason: String?
      if case .kernel(_, let why) = tunnel.resolution { reason = why }
      return Status.Tunnel(
        remote: "\(key.remote)", port: key.port, vni: key.vni, entries: behind[tunnel.slot] ?? 0, reason: reason)
    }
    return Status(
      pid: getpid(), state: "ready", namespace: options.namespace ?? "\(place.identity)",
      overlay: options.overlay, bridge: place.bridge.name, vxlan: place.vxlan?.name ?? "",
      vni: place.vxlan?.vxlan?.vni ?? 0, uplink: place.uplink?.name ?? "", tier: tier.tier.rawValue,
      mode: tier.mode, strict: options.strict, ports: ports, entries: entries,
      tunnels: tunnels, changes: journal.journal.summary,
      outerChecksum: options.outerChecksum.rawValue,
      segmentChecksum: Status.segmentChecksum(options, tier.tier, overlay.vxlan?.vxlan))
  }

  private func status(_ uplink: Uplink) -> Status.Port {
    let served = hasUplink
    let isDown = underlay.uplink.map { !$0.isUp || !$0.hasCarrier } ?? true
    return Status.Port(
      name: uplink.link.name, index: uplink.link.index, role: "uplink",
      tier: served ? tier.tier.rawValue : nil, mode: served ? tier.mode(slot: uplink.slot) : nil,
      reason: uplinkReason ?? (isDown ? "\(uplink.link.name) is down or has no carrier" : nil))
  }

  private func status(_ port: ServedPort, role: String) -> Status.Port {
    let served = port.slot != nil && port.reason == nil
    return Status.Port(
      name: port.link.name, index: port.link.index, role: role, tier: served ? tier.tier.rawValue : nil,
      mode: served ? tier.mode(slot: port.slot!) : nil, reason: port.reason)
  }

  func stats() throws -> Stats {
    // Of all overlays that leave by it.
    let shared = try uplink.map {
      [Stats.Port($0.link, $0.isAttached ? tier.tier : nil, try $0.counters())]
    } ?? []
    let all = try shared + ports.values.sorted { $0.link.index < $1.link.index }.map { try stats($0) }
    return Stats(
      overlay: place.bridge.name, namespace: options.namespace ?? "\(place.identity)", ports: all,
      workers: tier.work)
  }

  private func stats(_ device: ServedPort) throws -> Stats.Port {
    var counters = device.past
    if let slot = device.slot { counters.add(try tier.counters(slot: slot)) }
    return Stats.Port(device.link, device.slot == nil ? nil : tier.tier, counters)
  }
}

extension Stats.Port {
  init(_ link: Link, _ tier: Tier?, _ counters: SlotCounters) {
    self.init(
      name: link.name, index: link.index, tier: tier?.rawValue,
      received: .init(), forwarded: [:], passed: [:], dropped: [:])
    notSent = counters.notSent
    notRedirected = counters.notRedirected
    for verdict in Verdict.allCases {
      guard let packets = counters.packets[verdict], packets > 0 else { continue }
      let count = Stats.Count(packets: packets, bytes: counters.bytes[verdict] ?? 0)
      received.packets += count.packets
      received.bytes += count.bytes
      switch verdict.verdictClass {
      case .forwarded: forwarded[verdict.name] = count
      case .passed: passed[verdict.name] = count
      case .dropped: dropped[verdict.name] = count
      }
    }
  }
}
