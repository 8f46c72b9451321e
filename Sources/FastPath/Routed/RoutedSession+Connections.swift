// SPDX-License-Identifier: Apache-2.0
import CBPFObjects
import LinuxSystem
import Netlink
import PacketHeaders

/// Policy by connections: what the programs may take although netfilter has rules about forwarded packets.
extension RoutedSession {
  /// Where packets of the overlay pass netfilter.
  func forwardPath(_ ip: InnerIP, _ containers: [(link: Link, bridge: Link?)]) -> ForwardPath {
    func device(_ link: Link) -> ForwardPath.Device { .init(name: link.name, index: link.index) }
    var seen: Set<Int32> = []
    let routers = containers.map { $0.bridge ?? $0.link }.filter { seen.insert($0.index).inserted }
    var path = ForwardPath(
      isIPv4: !ip.isIPv6, containers: routers.map(device), bridgePorts: containers.filter { $0.bridge != nil }.map { device($0.link) },
      overlay: device(vxlan))
    let routes = routes[ip] ?? []
    path.here = routes.filter { seen.contains($0.link) }.map(\.destination)
    path.beyond = routes.filter { $0.link == vxlan.index }.map(\.destination)
    return path
  }

  /// Follows rules and connections where that was asked for and there are any of this overlay's.
  func followConnections(_ ip: InnerIP, _ path: ForwardPath) throws {
    guard options.policy == .connections, !options.isDryRun else { return }
    if path.here.isEmpty || !present.contains(ip) {
      connections[ip] = nil
    } else if let known = connections[ip] {
      known.follow(path)
    } else {
      connections[ip] = try ConnectionPolicy(in: NetworkNamespace.current(), path: path)
    }
    if let connections = connections[ip], connections.deadline <= Clock.monotonicNanoseconds {
      try connections.tick(now: Clock.monotonicNanoseconds)
    }
    try publishConnectionPolicy(ip)
  }

  func publishConnectionPolicy(_ ip: InnerIP) throws {
    let mode = connections[ip]?.mode
    if let mode, mode != reportedModes[ip], mode != .undecided {
      reportedModes[ip] = mode
      report("\(name): policy by connections\(ip.isIPv6 ? " of IPv6" : ""): \(mode)")
    }
    var policy = culvert_connection_policy()
    switch mode {
    case .everything: policy.flags = CULVERT_CONNECTION_ANY.rawValue
    case .connections(let takesUDP):
      policy.flags = CULVERT_CONNECTION_ESTABLISHED.rawValue
      if takesUDP { policy.flags |= CULVERT_CONNECTION_UDP.rawValue }
    case .nothing, .undecided, nil: break
    }
    policy.mark = ConnectionFollower.defaultMark
    let tcp = Timeout(sysctl: "tcp_timeout_established", otherwise: 432_000)
    let udp = Timeout(sysctl: "udp_timeout_stream", otherwise: 120)
    (policy.tcp_timeout, policy.tcp_due) = (tcp.milliseconds, tcp.due)
    (policy.udp_timeout, policy.udp_due) = (udp.milliseconds, udp.due)
    policy.udp_reply_due = Timeout(sysctl: "udp_timeout", otherwise: 30).due
    try connectionPolicy.value.update(ip.rawValue, policy)
  }

  /// What conntrack sets with each packet of an established connection.
  private struct Timeout {
    var milliseconds: UInt32
    /// Jiffies left with which it is set anew: a second less.
    var due: UInt32

    init(sysctl name: String, otherwise: UInt64) {
      let seconds = Sysctl.read("net/netfilter/nf_conntrack_\(name)").flatMap { UInt64($0) } ?? otherwise
      let kept = max(1, min(seconds, UInt64(Int32.max) / 1000))
      milliseconds = UInt32(kept * 1000)
      due = UInt32(clamping: (kept - 1) * 1_000_000_000 / Clock.tickNanoseconds)
    }
  }

  /// Reads again which prefixes lie behind which device, once routes have changed: where containers have their addresses,
  /// whether there are any of IPv6, and which a program's look-up does not see as the kernel does.
  func readRoutes(now: UInt64) throws {
    guard routesDue.map({ $0 <= now }) ?? false else { return }
    routesDue = nil
    routes[.v4] = try connection.value.routes(ofIPv6: false)
    routes[.v6] = try connection.value.routes(ofIPv6: true).filter { !$0.destination.address.isLinkLocal }
    // A large table that changes all the time is read a tenth of the time.
    routesNotBefore = now + 10 * (Clock.monotonicNanoseconds - now)
  }

  func routesChanged() {
    routesDue = routesDue ?? max(Clock.monotonicNanoseconds, routesNotBefore)
  }
}

extension Status.Connections {
  /// Of both IPs together; nil without any.
  init?(_ all: [ConnectionCounters]) {
    guard !all.isEmpty else { return nil }
    self.init(followed: 0, marked: 0, withdrawn: 0, refused: [:])
    for counters in all {
      followed += counters.followed
      marked += counters.marked
      withdrawn += counters.withdrawn
      for (reason, count) in counters.refused { refused[reason.rawValue, default: 0] += count }
    }
  }
}
