// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import Netlink

/// What `culvert up --dry-run` prints of one overlay: what would be served, what that would change, and every reason
/// against it.
public struct OverlayPlan: Codable, Sendable {
  public var schema = "culvert.plan/1"
  public var overlay: String
  public var namespace: String
  public var vxlan = ""
  public var vni: UInt32 = 0
  public var uplink = ""
  public var tier = ""
  public var mode = ""
  public var ports: [Port] = []
  /// Of a routed overlay: why packets with one IP inside would be left to the kernel, by "IPv4" and "IPv6".
  public var left: [String: String]?
  /// Why it would not be served at all.
  public var reason: String?

  public struct Port: Codable, Sendable {
    public var name: String
    /// "uplink" or "container".
    public var role: String
    /// Why it would be the kernel's; nil where it would be served.
    public var reason: String?
    /// What would be changed for it, a line each, but for the program itself.
    public var changes: [String] = []
  }

  public var isServed: Bool { reason == nil && ports.contains { $0.role == "container" && $0.reason == nil } }
}

/// A session that can say what it would do before it has started.
protocol PlannedSession: OverlaySession {
  func plan() throws -> OverlayPlan
}

extension FastPathService {
  /// What `start` would do with these options at present. Programs are loaded to see whether the kernel takes them;
  /// nothing is attached, set or written.
  public static func plan(
    _ options: AgentOptions, candidates: @escaping @Sendable () -> [String] = { NamespaceSearch.candidates() }
  ) throws -> [OverlayPlan] {
    try options.check()
    let home = Box(try NetworkNamespace.open(options.each.namespace))
    return try home.value.run { () throws -> [OverlayPlan] in try plans(options, home, candidates) }
  }

  private static func plans(
    _ options: AgentOptions, _ home: Box<NetworkNamespace>, _ candidates: @escaping () -> [String]
  ) throws -> [OverlayPlan] {
    let underlays = Underlays()
    let here = options.each.namespace
    if let names = options.overlays { return names.map { plan($0, home, here, options.each, underlays) } }
    let finder = try OverlayFinder(home: home.value.identity, candidates: options.allNamespaces ? candidates : nil)
    let found = try finder.look(now: Clock.monotonicNanoseconds)
    return found.map { overlay in
      do {
        let namespace = try overlay.reference.map { Box(try NetworkNamespace.open($0)) } ?? home
        return plan(
          overlay.name, namespace, overlay.reference ?? here, options.each, underlays)
      } catch {
        return OverlayPlan(
          overlay: overlay.name, namespace: overlay.reference ?? "", reason: Engine.oneLine(error))
      }
    }
  }

  private static func plan(
    _ name: String, _ namespace: Box<NetworkNamespace>, _ reference: String?, _ each: FastPathOptions, _ underlays: Underlays
  ) -> OverlayPlan {
    var options = each
    options.overlay = name
    options.namespace = reference
    options.isDryRun = true
    var refused = OverlayPlan(overlay: name, namespace: reference ?? "\(namespace.value.identity)")
    do {
      try namespace.value.enter()
      let session = try makeSession(options, underlays, report: { _ in })
      defer { session.stop() }
      guard let planned = session as? any PlannedSession else {
        refused.tier = session.obtained
        refused.reason = "cannot be planned: it is only known once it is started"
        return refused
      }
      return try planned.plan()
    } catch {
      refused.reason = Engine.oneLine(error)
      return refused
    }
  }
}
