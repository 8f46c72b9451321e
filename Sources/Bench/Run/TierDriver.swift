// SPDX-License-Identifier: Apache-2.0
import DataPlane
import FastPath
import Lab
import LinuxSystem

/// How a tier is put on a host and taken off again. One value per tier; a comparison knows no more of it.
public struct TierDriver: Sendable {
  /// As in "vxlan+NAME".
  public var name: String
  public var attach: @Sendable (_ host: LabNode) throws -> any TierAttachment

  public init(name: String, attach: @escaping @Sendable (LabNode) throws -> any TierAttachment) {
    self.name = name
    self.attach = attach
  }
}

/// A tier that carries a host's packets now.
public protocol TierAttachment: AnyObject, Sendable {
  /// Tier and mode, as "xdp native".
  var obtained: String { get }
  /// Packets that did not go through the kernel's stack so far.
  func forwarded() throws -> UInt64
  /// Gives the packets back to the kernel.
  func detach() throws
}

extension TierDriver {
  /// Culvert itself, in this process.
  /// - Parameter bypassPolicy: serve ports although netfilter could decide otherwise (`--as-shipped`).
  ///   - wait, cpu: of tier `afxdp`'s worker.
  public static func fastPath(
    _ tier: Tier, bypassPolicy: Bool, wait: WaitMode = .adaptive, cpu: Int? = nil
  ) -> TierDriver {
    TierDriver(name: tier.rawValue) { host in
      let options = FastPathOptions(
        overlay: LabNames.bridge, namespace: host.reference, tier: tier, bypassPolicy: bypassPolicy,
        wait: wait, cpu: cpu)
      return FastPathAttachment(try FastPathService.start(options))
    }
  }
}

final class FastPathAttachment: TierAttachment {
  private let service: FastPathService
  init(_ service: FastPathService) { self.service = service }
  var obtained: String { service.obtained }
  func detach() throws { try service.stop() }
  func forwarded() throws -> UInt64 {
    try service.stats().ports.reduce(0) { sum, port in
      sum + port.forwarded.values.reduce(0) { $0 + $1.packets }
    }
  }
}
