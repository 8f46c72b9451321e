// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import Netlink
import PacketHeaders

/// Policy by connections (`--policy connections`) for one namespace that routes: what its rules ask of forwarded packets,
/// kept up to date, and its TCP connections made such that they may pass the rules by.
///
/// Not thread-safe; lives on the event loop's thread. Wait for `descriptors`, call `handle(readable:)` when one is readable
/// and `tick(now:)` when `deadline` has passed; either says whether `mode` is another. Rules are obeyed within a second.
public final class ConnectionPolicy {
  /// What may pass the rules by.
  public enum Mode: Sendable, Equatable {
    /// All: no rule does more than accept.
    case everything
    /// What belongs to an established connection: TCP whose entry is marked and liberal both ways and, where
    /// `takesUnmarkedUDP`, UDP of which an answer was seen.
    case connections(takesUnmarkedUDP: Bool)
    /// Nothing, and why.
    case nothing(String)
    /// Nothing until the rules have been read, or connections judged by new ones.
    case undecided
  }

  public private(set) var mode = Mode.undecided
  /// Counts changes of the rules and of what they ask; what was decided before is to be decided again.
  public private(set) var generation: UInt64 = 0
  /// Nil where no connection had to be followed yet.
  public var counters: ConnectionCounters? { follower?.counters }

  private let namespace: NetworkNamespace
  private let watch: RuleWatch
  private let reader = NetfilterReader()
  private let mark: UInt32
  private var path: ForwardPath
  private var follower: ConnectionFollower?
  private var demand: ForwardDemand?
  /// CLOCK_MONOTONIC ns from when on the rules may be read again; nil where nothing has changed.
  private var readDue: UInt64? = 0
  private var notBefore: UInt64 = 0

  /// A burst of changes is read once.
  private static let pause: UInt64 = 20_000_000
  /// Reading and following the rules takes at most a tenth of the time, and waits no longer than this.
  private static let longestPause: UInt64 = 500_000_000

  public init(
    in namespace: borrowing NetworkNamespace, path: ForwardPath, mark: UInt32 = ConnectionFollower.defaultMark
  ) throws {
    self.namespace = try namespace.duplicate()
    watch = try RuleWatch(in: namespace)
    self.path = path
    self.mark = mark
  }

  public var descriptors: [Int32] { watch.descriptors + (follower?.descriptors ?? []) }

  /// CLOCK_MONOTONIC ns of the next `tick`.
  public var deadline: UInt64 { min(watch.deadline, readDue ?? .max, follower?.deadline ?? .max) }

  /// Containers, their ports or addresses are others by now; takes effect with the next `tick`.
  public func follow(_ path: ForwardPath) {
    guard path != self.path else { return }
    self.path = path
    // Devices that no chain was followed for.
    readDue = 0
  }

  @discardableResult
  public func handle(readable descriptor: Int32) throws -> Bool {
    if watch.descriptors.contains(descriptor) {
      if watch.handle() { rulesChanged() }
      return false
    }
    try follower?.handle()
    return settle()
  }

  @discardableResult
  public func tick(now: UInt64) throws -> Bool {
    if watch.deadline <= now, try watch.tick(now: now) { rulesChanged() }
    var changed = false
    if let due = readDue, due <= now {
      readDue = nil
      changed = try read()
    }
    if let follower, follower.deadline <= now { try follower.tick(now: now) }
    return settle() || changed
  }

  private func rulesChanged() {
    readDue = readDue ?? max(Clock.monotonicNanoseconds + Self.pause, notBefore)
  }

  private func read() throws -> Bool {
    let start = Clock.monotonicNanoseconds
    let rules = try namespace.run { try reader.rules() }
    let demand = path.demand(of: rules)
    self.demand = demand
    generation += 1
    switch demand {
    case .nothing, .eachPacket: follower = nil
    case .connections:
      try follow()
      follower?.judge(by: nil)
    case .someConnections:
      try follow()
      let path = path
      follower?.judge { path.accepts($0, rules) }
    }
    let end = Clock.monotonicNanoseconds
    notBefore = end + min(Self.longestPause, 10 * (end - start))
    _ = settle()
    return true
  }

  private func follow() throws {
    // Of each connection that is forwarded one end is a container of this host's.
    let addresses = Set(path.here)
    if let follower { return try follower.follow(addresses) }
    follower = try ConnectionFollower(in: namespace, addresses: addresses, mark: mark)
  }

  /// Whether the mode is another by now.
  private func settle() -> Bool {
    let before = mode
    switch demand {
    case nil: break
    case .nothing: mode = .everything
    case .connections: mode = .connections(takesUnmarkedUDP: true)
    case .someConnections:
      // Marks may still be of connections that are not accepted any more.
      mode =
        follower?.isCaughtUp == true
        ? .connections(takesUnmarkedUDP: false) : .undecided
    case .eachPacket(let objection):
      mode = .nothing("\(objection.name) looks at each packet: \(objection.description)")
    }
    return mode != before
  }
}

extension ConnectionPolicy.Mode: CustomStringConvertible {
  public var description: String {
    switch self {
    case .everything: "no rule does more to forwarded packets than accept them"
    case .connections(takesUnmarkedUDP: true): "established connections pass the rules by"
    case .connections: "established TCP connections that the rules accept pass them by"
    case .nothing(let reason): "everything is the kernel's: \(reason)"
    case .undecided: "connections are being judged by the rules"
    }
  }
}
