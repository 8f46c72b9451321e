// SPDX-License-Identifier: Apache-2.0
import Lab
import LinuxSystem
import Netlink
import PacketHeaders
import Traffic

/// A lab that lives through the whole comparison, and what is attached to it now.
final class Stage {
  let lab: Lab
  let hostA: LabNode
  let hostB: LabNode
  let a1: LabNode
  let b1: LabNode
  private var attached: [LabHost: (network: Network, attachment: any TierAttachment)] = [:]
  private var receivesLiveFrames = false
  private var stations: [String: Station] = [:]

  init(_ spec: LabSpec) throws {
    lab = try Lab.make(spec)
    hostA = lab.host(.a)
    hostB = lab.host(.b)
    a1 = try lab.node("a1")
    b1 = try lab.node("b1")
    for node in lab.nodes {
      stations[node.name] = Station(
        name: node.name, namespace: try SharedNamespace(node.namespace.duplicate()), ipv4: node.address,
        ipv6: node.address6)
    }
  }

  /// Live frames vanish where NAPI does not run at the end that receives them; on veth that comes with GRO.
  /// It is on at the container's port while they are measured, and as the kernel made it otherwise.
  func receiveLiveFrames(_ isOn: Bool) throws {
    guard isOn != receivesLiveFrames, let port = a1.hostPort else { return }
    try hostA.run { try Ethtool().setFeatures(of: port, ["rx-gro": isOn]) }
    receivesLiveFrames = isOn
  }

  func station(_ node: LabNode) -> Station { stations[node.name]! }

  /// Attaches and detaches until exactly `hosts` carry `network`'s tier. Returns whether anything changed.
  func arrange(_ network: Network, on hosts: Set<LabHost>, driver: TierDriver?) throws -> Bool {
    var changed = false
    for (host, present) in attached where !hosts.contains(host) || present.network != network {
      attached[host] = nil
      try present.attachment.detach()
      changed = true
    }
    guard let driver else { return changed }
    for host in hosts where attached[host] == nil {
      attached[host] = (network, try driver.attach(lab.host(host)))
      changed = true
    }
    return changed
  }

  /// What the tiers did so far, by host.
  func counts() throws -> [LabHost: TierCount] { try attached.mapValues { try $0.attachment.count() } }

  var obtained: String? { attached.values.first?.attachment.obtained }

  func detachAll() throws {
    let present = attached
    attached = [:]
    for (_, attachment) in present.values { try attachment.detach() }
  }
}
