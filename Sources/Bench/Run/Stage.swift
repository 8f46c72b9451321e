// SPDX-License-Identifier: Apache-2.0
import Glibc
import Lab
import LinuxSystem
import Netlink
import PacketHeaders
import Traffic

/// A lab that lives through the whole comparison, and what is attached to it now.
final class Stage {
  let lab: Lab
  private var attached: [LabHost: Attached] = [:]
  private var receivesLiveFrames = false
  private var steered: [LabHost: Int] = [:]
  private var primed: UInt64?
  private var stations: [String: Station] = [:]

  private struct Attached {
    var network: Network
    var cpu: Int
    var entries: Int
    var attachment: any TierAttachment
    var isFilled = false
  }

  init(_ spec: LabSpec) throws {
    lab = try Lab.make(spec)
    for node in lab.nodes {
      stations[node.name] = Station(
        name: node.name, namespace: try SharedNamespace(node.namespace.duplicate()), ipv4: node.address,
        ipv6: node.address6, seenAs: node.published)
    }
  }

  /// Who talks to whom on `network`.
  func ends(_ network: Network) -> (client: LabNode, server: LabNode) {
    network.isOfHosts ? (lab.host(.a), lab.host(.b)) : lab.pair
  }

  func ends(_ arrangement: LabArena.Arrangement) -> (client: LabNode, server: LabNode) {
    let containers = lab.containers(of: .a)
    // The last one is made anew.
    if arrangement.isLaunch && lab.spec.network.isOfOneHost { return (containers[0], containers[1]) }
    guard arrangement.isOnOneHost else { return ends(arrangement.network) }
    let near = arrangement.network.isOfHosts ? [lab.host(.a)] : lab.containers(of: .a)
    return (near.first!, near.last!)
  }

  /// Live frames vanish where NAPI does not run at the end that receives them; on veth that comes with GRO.
  /// It is on at the containers' ports while they are measured, and as the kernel made it otherwise.
  func receiveLiveFrames(_ isOn: Bool) throws {
    guard isOn != receivesLiveFrames else { return }
    let ports = lab.containers(of: .a).compactMap(\.hostPort)
    try lab.host(.a).run {
      let ethtool = try Ethtool()
      for port in ports { try ethtool.setFeatures(of: port, ["rx-gro": isOn]) }
    }
    receivesLiveFrames = isOn
  }

  /// On an overlay of several containers a host, the others than the first pair, where it was long ago that the
  /// kernel's tables saw them: entries that age in 300 s.
  func pairsToPrime() -> [Path] {
    let now = Clock.monotonicNanoseconds
    guard lab.spec.network == .vxlan, primed.map({ now - $0 > 100_000_000_000 }) ?? true else { return [] }
    primed = now
    return zip(lab.containers(of: .a), lab.containers(of: .b)).dropFirst().map {
      Path(client: station($0), server: station($1), port: LabNames.publishedPorts.lowerBound)
    }
  }

  func station(_ node: LabNode) -> Station { stations[node.name]! }

  /// A host as its containers reach it.
  func bridge(of host: LabHost) -> Station {
    var station = station(lab.host(host))
    station.ipv4 = lab.host(host).identity.bridgeAddress
    station.ipv6 = nil
    return station
  }

  /// Attaches and detaches until exactly the hosts that `workers` has a CPU for carry `network`'s tier. Returns
  /// whether anything changed.
  /// - Parameter entries: that are to fit into the tier's table beside what the network has.
  func arrange(_ network: Network, workers: [LabHost: Int], driver: TierDriver?, entries: Int = 0) throws
    -> Bool
  {
    var changed = false
    for (host, present) in attached
    where workers[host] != present.cpu || present.network != network || present.entries != entries {
      attached[host] = nil
      try present.attachment.detach()
      changed = true
    }
    guard let driver else { return changed }
    for (host, cpu) in workers where attached[host] == nil {
      attached[host] = Attached(
        network: network, cpu: cpu, entries: entries,
        attachment: try driver.attach(lab.host(host), cpu, entries))
      changed = true
    }
    return changed
  }

  /// Addresses that only tables know; none of a lab's begins so.
  static let firstOfMany = MACAddress(value: 0x0600_0000_0000)

  /// Puts the entries that there is room for into the tiers' tables: all at the other host, where the first pair's
  /// other end is.
  func fill() throws {
    for (host, present) in attached where present.entries > 0 && !present.isFilled {
      let other = host == .a ? lab.pair.server : lab.pair.client
      let limit = Clock.monotonicNanoseconds + 2_000_000_000
      while try !present.attachment.add(present.entries, from: Self.firstOfMany, like: other.mac) {
        guard Clock.monotonicNanoseconds < limit else {
          throw Failure("fill", "the table on \(host.rawValue)", advice: "It never learned \(other.name).")
        }
        usleep(10_000)
      }
      attached[host]?.isFilled = true
    }
  }

  /// Waits until the tier on a host, if there is one, has taken up a port.
  func awaitService(of port: String, on host: LabHost) throws {
    guard let attachment = attached[host]?.attachment else { return }
    let limit = Clock.monotonicNanoseconds + 5_000_000_000
    while try !attachment.serves(port) {
      guard Clock.monotonicNanoseconds < limit else {
        throw Failure("launch", "a container", advice: "The tier left \(port) to the kernel for 5 s.")
      }
      usleep(500)
    }
  }

  /// Which CPUs take what arrives at the hosts.
  func steer(_ cpus: [LabHost: Int]) throws {
    guard cpus != steered else { return }
    try lab.steer(cpus)
    steered = cpus
  }

  /// What the tiers did so far, by host.
  func counts() throws -> [LabHost: TierCount] {
    try attached.compactMapValues { try $0.attachment.count() }
  }

  /// Of the hosts' tiers, where they differ each.
  var obtained: String? {
    let all = attached.sorted { $0.key.rawValue < $1.key.rawValue }.map(\.value.attachment.obtained)
    guard let first = all.first else { return nil }
    return all.allSatisfy { $0 == first } ? first : all.joined(separator: "; ")
  }

  func detachAll() throws {
    let present = attached
    attached = [:]
    for one in present.values { try one.attachment.detach() }
  }
}
