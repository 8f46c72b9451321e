// SPDX-License-Identifier: Apache-2.0
import DataPlane
import FastPath
import Glibc
import Lab
import LinuxSystem
import PacketHeaders

/// How a tier is put on a host and taken off again. One value per tier; a comparison knows no more of it.
public struct TierDriver: Sendable {
  /// As in "vxlan+NAME".
  public var name: String
  /// `cpu` is for what of the tier runs in threads of its own; `entries` are to fit into its table beside what the
  /// network has.
  public var attach: @Sendable (_ host: LabNode, _ cpu: Int, _ entries: Int) throws -> any TierAttachment

  public init(name: String, attach: @escaping @Sendable (LabNode, Int, Int) throws -> any TierAttachment) {
    self.name = name
    self.attach = attach
  }
}

/// A tier that carries a host's packets now.
public protocol TierAttachment: AnyObject, Sendable {
  /// Tier and mode, as "xdp native".
  var obtained: String { get }
  /// What became of the packets that it saw so far; nil where it does not count.
  func count() throws -> TierCount?
  /// Puts so many addresses from `first` on into its table, which lead where `known` does. False while that has no
  /// entry itself.
  func add(_ count: Int, from first: MACAddress, like known: MACAddress) throws -> Bool
  /// Whether it has taken up a port of its host.
  func serves(_ port: String) throws -> Bool
  /// Gives the packets back to the kernel.
  func detach() throws
}

extension TierAttachment {
  /// Without a table there is nothing to fill.
  func add(_ count: Int, from first: MACAddress, like known: MACAddress) throws -> Bool { true }
  func serves(_ port: String) throws -> Bool { true }
}

extension TierDriver {
  /// Culvert itself, in this process.
  /// - Parameters:
  ///   - tier: nil is what `up` does by itself.
  ///   - bypassPolicy: serve ports although netfilter could decide otherwise (`--as-shipped`).
  ///   - wait: of tier `afxdp`'s worker.
  public static func fastPath(
    _ tier: Tier?, bypassPolicy: Bool, wait: WaitMode = .adaptive
  ) -> TierDriver {
    TierDriver(name: tier?.rawValue ?? Network.automatic) { host, cpu, entries in
      var options = FastPathOptions(
        overlay: host.served ?? LabNames.bridge, namespace: host.reference, tier: tier,
        bypassPolicy: bypassPolicy && !host.isRouter, policy: host.isRouter ? .connections : .kernel,
        wait: wait, cpus: [cpu])
      // What the tier makes of bulk TCP is what is measured.
      options.carriesBulk = tier == .xdp || tier == .afxdp
      options.entryCapacity = max(options.entryCapacity, UInt32(entries) + 1024)
      let service = try FastPathService.start(options)
      if host.isRouter, let reason = try blocked(service) {
        try service.stop()
        throw Failure("serve", options.overlay, advice: reason, status: .unavailable)
      }
      return FastPathAttachment(service)
    }
  }

  /// Why a routed overlay is not served. Its tables stand from the start, and its connections are known within
  /// moments: nothing that comes later makes more of it.
  private static func blocked(_ service: FastPathService) throws -> String? {
    let end = Clock.monotonicNanoseconds + 2_000_000_000
    while true {
      let readiness = Readiness(try service.status())
      guard readiness.isBlocked else { return nil }
      guard Clock.monotonicNanoseconds < end else { return readiness.line }
      usleep(10_000)
    }
  }
}

final class FastPathAttachment: TierAttachment {
  private let service: FastPathService
  init(_ service: FastPathService) { self.service = service }
  var obtained: String { service.obtained }
  func detach() throws { try service.stop() }
  func serves(_ port: String) throws -> Bool {
    try service.status().ports.contains { $0.name == port && $0.tier != nil }
  }
  func add(_ count: Int, from first: MACAddress, like known: MACAddress) throws -> Bool {
    try service.add(count, from: first, like: known)
  }
  func count() throws -> TierCount? {
    let stats = try service.stats()
    let work = stats.workers?.reduce(Work(), +)
    return stats.ports.reduce(into: TierCount(work: work)) { sum, port in
      sum.carried += port.forwarded.values.reduce(0) { $0 + $1.packets }
      for (reason, count) in port.passed { sum.passed[reason, default: 0] += count.packets }
    }
  }
}
