// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import DataPlane

/// Where packets are processed (DESIGN: tiers).
public enum Tier: String, Sendable, CaseIterable, Codable {
  case xdp
  case afxdp
  case tc
}

/// What `culvert up` is asked to do.
public struct FastPathOptions: Sendable {
  /// The bridge, or the VXLAN device that is a port of it.
  public var overlay: String
  /// A name, a path or a PID; nil is the caller's namespace.
  public var namespace: String?
  public var uplink: String?
  public var uplinkNamespace: String?
  public var tier: Tier
  public var mode: XDPMode
  /// Drop VXLAN from senders that are no configured VTEP of the VNI.
  public var strict: Bool
  /// Serve ports although a filter, firewall or qdisc could have decided otherwise.
  public var bypassPolicy: Bool
  /// Forwarding entries that fit; more stay with the kernel.
  public var entryCapacity: UInt32
  public var portCapacity: UInt32
  /// Tier `afxdp`: what the worker does when no packet is there, and on which CPU.
  public var wait: WaitMode
  public var cpu: Int?
  /// Tier `afxdp`: frames of memory that its sockets share.
  public var frames: Int
  /// Tier `tc`: attach as on a kernel without tcx; for tests.
  var avoidsTCX = false

  public init(
    overlay: String, namespace: String? = nil, uplink: String? = nil, uplinkNamespace: String? = nil,
    tier: Tier = .xdp, mode: XDPMode = .native, strict: Bool = false, bypassPolicy: Bool = false,
    entryCapacity: UInt32 = 131_072, portCapacity: UInt32 = 1024, wait: WaitMode = .adaptive,
    cpu: Int? = nil, frames: Int = 8192
  ) {
    self.overlay = overlay
    self.namespace = namespace
    self.uplink = uplink
    self.uplinkNamespace = uplinkNamespace
    self.tier = tier
    self.mode = mode
    self.strict = strict
    self.bypassPolicy = bypassPolicy
    self.entryCapacity = entryCapacity
    self.portCapacity = portCapacity
    self.wait = wait
    self.cpu = cpu
    self.frames = frames
  }
}
