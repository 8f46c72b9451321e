// SPDX-License-Identifier: Apache-2.0
import DataPlane
import FastPath
import Lab
import LinuxSystem

/// How a tier is put on a host and taken off again. One value per tier; a comparison knows no more of it.
public struct TierDriver: Sendable {
  /// As in "vxlan+NAME".
  public var name: String
  /// `cpu` is for what of the tier runs in threads of its own.
  public var attach: @Sendable (_ host: LabNode, _ cpu: Int) throws -> any TierAttachment

  public init(name: String, attach: @escaping @Sendable (LabNode, Int) throws -> any TierAttachment) {
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
  /// Gives the packets back to the kernel.
  func detach() throws
}

extension TierDriver {
  /// Culvert itself, in this process.
  /// - Parameters:
  ///   - bypassPolicy: serve ports although netfilter could decide otherwise (`--as-shipped`).
  ///   - wait: of tier `afxdp`'s worker.
  public static func fastPath(
    _ tier: Tier, bypassPolicy: Bool, wait: WaitMode = .adaptive
  ) -> TierDriver {
    TierDriver(name: tier.rawValue) { host, cpu in
      let options = FastPathOptions(
        overlay: LabNames.bridge, namespace: host.reference, tier: tier, bypassPolicy: bypassPolicy,
        wait: wait, cpus: [cpu])
      return FastPathAttachment(try FastPathService.start(options))
    }
  }
}

final class FastPathAttachment: TierAttachment {
  private let service: FastPathService
  init(_ service: FastPathService) { self.service = service }
  var obtained: String { service.obtained }
  func detach() throws { try service.stop() }
  func count() throws -> TierCount? {
    let stats = try service.stats()
    let work = stats.workers?.reduce(Work(), +)
    return stats.ports.reduce(into: TierCount(work: work)) { sum, port in
      sum.carried += port.forwarded.values.reduce(0) { $0 + $1.packets }
      for (reason, count) in port.passed { sum.passed[reason, default: 0] += count.packets }
    }
  }
}
