// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import Netlink

/// What the agent's loop asks of an overlay.
extension Engine: OverlaySession {
  /// Nanoseconds between two looks at what ports pass: so long a port is in the way of what it does not carry. While
  /// there is no traffic, the looks are further apart.
  private static let trafficInterval: UInt64 = 100_000_000
  var idleTrafficInterval: UInt64 {
    if tier.keepsSegments { return 1_000_000_000 }
    // A look costs microseconds a port.
    return shared.ports.taken <= 32 ? Self.trafficInterval : 300_000_000
  }
  static let checkInterval: UInt64 = 1_000_000_000

  var name: String { place.bridge.name }
  var obtained: String { "\(tier.tier.rawValue) \(tier.mode)" }

  var descriptors: [Int32] {
    (isReadingPaused ? [] : announcements)
      + (place.encryption.map { [$0.value.descriptor] } ?? [])
      + (place.peers.map { [$0.value.descriptor] } ?? [])
  }

  /// What may storm.
  private var announcements: [Int32] {
    [place.overlayMonitor.value.descriptor]
      + (place.isSplit ? [place.underlayMonitor.value.descriptor] : [])
      + (place.errors.map { [$0.value.descriptor] } ?? [])
  }

  func handle(readable descriptor: Int32) throws {
    if descriptor == place.overlayMonitor.value.descriptor {
      try follow(place.overlayMonitor, fromUnderlay: false)
    } else if descriptor == place.underlayMonitor.value.descriptor {
      try follow(place.underlayMonitor, fromUnderlay: true)
    } else if let errors = place.errors, descriptor == errors.value.descriptor {
      let start = Clock.monotonicNanoseconds
      try noteErrors()
      pauseReading(since: start)
    } else if let encryption = place.encryption, descriptor == encryption.value.descriptor {
      // Not a second in the clear.
      encryption.value.drain()
      try checkPolicy()
    } else if let peers = place.peers, descriptor == peers.value.descriptor {
      try checkEnds(peers.value.receive())
      endsMayHaveChanged = true
    }
    try tier.commit()
  }

  private func follow(_ monitor: Box<RouteMonitor>, fromUnderlay: Bool) throws {
    let start = Clock.monotonicNanoseconds
    var events: [NetlinkEvent] = []
    // A storm is taken in portions: the descriptor stays readable for the rest.
    if case .overrun = try monitor.value.receive(into: &events) {
      try resynchronise(because: "announcements were lost")
      return pauseReading(since: start)
    }
    // What concerns a container's entry may not wait.
    if try !apply(events, fromUnderlay: fromUnderlay) { pauseReading(since: start) }
  }

  /// Changes gather meanwhile.
  private func pauseReading(since start: UInt64) {
    reading.worked(from: start, to: Clock.monotonicNanoseconds)
    isReadingPaused = true
  }

  var deadline: UInt64 {
    min(
      following.due ?? .max, isReadingPaused ? reading.notBefore : .max, Self.next(Self.checkInterval, after: checkedAt),
      watchesTraffic ? Self.next(isBusy ? Self.trafficInterval : idleTrafficInterval, after: watchedAt) : .max)
  }

  /// The next multiple: overlays look at the same moments, and share what they see.
  private static func next(_ interval: UInt64, after last: UInt64) -> UInt64 {
    (last / interval + 1) * interval
  }

  func tick(now: UInt64) throws {
    if now >= reading.notBefore { isReadingPaused = false }
    try askChangedRoutes()
    if watchesTraffic { try watchTraffic() }
    if now >= Self.next(Self.checkInterval, after: checkedAt) {
      checkedAt = now
      try checkNamespaces()
      try checkEnds()
      try checkPolicy(age: Self.checkInterval / 2)
      try confirmNextHops()
      try checkSysctls()
      try checkRoutes()
    }
    try tier.commit()
  }
}
