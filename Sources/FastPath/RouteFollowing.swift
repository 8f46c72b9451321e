// SPDX-License-Identifier: Apache-2.0
import Netlink
import PacketHeaders

/// Which routes are to be asked for again, and when: at once where it was quiet, with pauses in a storm of
/// changes, and only those that the changes can concern. No I/O.
struct RouteFollowing {
  /// What has changed since the routes were last asked for.
  struct Changes {
    var isEverything = false
    /// Changed routes by the length of their prefix, in bits.
    private var prefixes: [UInt8: Set<IPAddress>] = [:]
    private var remotes: Set<IPAddress> = []

    var isEmpty: Bool { !isEverything && prefixes.isEmpty && remotes.isEmpty }

    mutating func insert(_ change: RoutingChange) {
      switch change {
      case .everything: isEverything = true
      case .route(let destination, let prefix):
        prefixes[prefix, default: []].insert(destination.network(prefix))
      }
    }

    mutating func insert(_ remote: IPAddress) { remotes.insert(remote) }

    /// A route to `address` may be another now. O(lengths of prefix that changed).
    func concern(_ address: IPAddress) -> Bool {
      isEverything || prefixes.contains { $0.value.contains(address.network($0.key)) }
    }

    func concern(_ key: RouteKey) -> Bool { remotes.contains(key.remote) || concern(key.remote) }
  }

  private var changes = Changes()
  /// Routes that the kernel may only be about to change, and when they are to be asked for.
  private var later: (remotes: Set<IPAddress>, at: UInt64)?
  /// How far through the routes the samples are.
  private var sampled = 0
  private var pacing = Pacing(shortest: pause)
  private var notBefore: UInt64 { pacing.notBefore }

  /// Between two rounds, at least.
  static let pause: UInt64 = 50_000_000

  mutating func note(_ change: RoutingChange) { changes.insert(change) }

  /// ICMP spoke of this destination. A socket has the packet before the kernel has acted on it: asked for twice.
  mutating func note(_ remote: IPAddress, now: UInt64) {
    changes.insert(remote)
    later = ((later?.remotes ?? []).union([remote]), now + Self.pause)
  }

  /// When the next round is due; nil where nothing changed.
  var due: UInt64? {
    let now = changes.isEmpty ? nil : notBefore
    guard let later = later.map({ max($0.at, notBefore) }) else { return now }
    return min(later, now ?? later)
  }

  /// The changes for a round that begins now.
  mutating func begin(now: UInt64) -> Changes {
    if let later, later.at <= now {
      for remote in later.remotes { changes.insert(remote) }
      self.later = nil
    }
    defer { changes = Changes() }
    return changes
  }

  /// Of a round that began at `start`.
  mutating func end(start: UInt64, now: UInt64) {
    pacing.worked(from: start, to: now)
  }

  /// What the kernel learned it announces to nobody: routes of which it learned something, until that expires, and of
  /// the others the next `count`.
  mutating func sample(_ count: Int, of keys: [RouteKey], isLearned: (RouteKey) -> Bool) -> Set<RouteKey> {
    guard !keys.isEmpty else { return [] }
    let part = (0..<min(keys.count, count)).map { keys[(sampled + $0) % keys.count] }
    sampled = (sampled + part.count) % keys.count
    return Set(keys.filter(isLearned) + part)
  }
}
