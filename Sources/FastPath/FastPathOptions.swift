// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import CBPFObjects
import DataPlane
import LinuxSystem

/// Where packets are processed (DESIGN: tiers).
public enum Tier: String, Sendable, CaseIterable, Codable {
  case xdp
  case afxdp
  case tc
}

/// Of a routed overlay: who decides where netfilter has rules about forwarded packets.
public enum ForwardPolicy: String, Sendable, CaseIterable, Codable {
  /// The kernel, about every packet.
  case kernel
  /// The kernel, about each connection: packets of established ones then pass the rules by.
  case connections
}

/// The outer UDP checksum of segments (GSO), on a VXLAN device that sends checksums.
public enum OuterChecksum: String, Sendable, CaseIterable, Codable {
  /// Zero: nobody on the fast path can compute it over a payload that is segmented later (RFC 7348, section 5).
  case auto
  /// As the kernel sends it: such segments stay with the kernel.
  case exact
}

/// What `culvert up` is asked to do.
public struct FastPathOptions: Sendable, Codable {
  /// The bridge, or the VXLAN device that is a port of it.
  public var overlay: String
  /// A name, a path or a PID; nil is the caller's namespace.
  public var namespace: String?
  public var uplink: String?
  public var uplinkNamespace: String?
  /// nil: by what the uplink can do.
  public var tier: Tier?
  public var mode: XDPMode
  /// Drop VXLAN from senders that are no configured VTEP of the VNI.
  public var strict: Bool
  /// Serve ports although a filter, firewall or qdisc could have decided otherwise.
  public var bypassPolicy: Bool
  public var policy: ForwardPolicy
  public var outerChecksum: OuterChecksum
  /// Forwarding entries that fit; more stay with the kernel.
  public var entryCapacity: UInt32
  public var portCapacity: UInt32
  /// Tier `afxdp`: what the workers do when no packet is there.
  public var wait: WaitMode
  /// Tier `afxdp`: at most one per queue of the uplink and of each port; and a CPU for each, or none.
  public var workers: Int
  public var cpus: [Int]
  /// Tier `afxdp`: so many packets a millisecond by one receive queue are not worth waking a worker for.
  public var fewPerMillisecond = UInt32(CULVERT_FEW_PER_MS)
  /// Tier `afxdp`: frames of memory that a worker's sockets share.
  public var frames: Int
  /// Tier `afxdp`: leave the containers' interfaces as they are; the workers complete the checksums.
  public var keepsOffloads: Bool
  /// Tiers `xdp` and `afxdp`: carry a container's bulk TCP too, although the kernel does so in larger segments.
  public var carriesBulk: Bool
  /// Looks and loads, and neither attaches nor writes anything: for `plan`.
  var isDryRun = false
  /// Tier `tc`: attach as on a kernel without tcx; for tests.
  public var avoidsTCX: Bool

  public init(
    overlay: String, namespace: String? = nil, uplink: String? = nil, uplinkNamespace: String? = nil,
    tier: Tier? = nil, mode: XDPMode = .native, strict: Bool = false, bypassPolicy: Bool = false,
    policy: ForwardPolicy = .kernel, outerChecksum: OuterChecksum = .auto, entryCapacity: UInt32 = 131_072, portCapacity: UInt32 = 1024,
    wait: WaitMode = .adaptive,
    workers: Int = 1, cpus: [Int] = [], frames: Int = 8192,
    keepsOffloads: Bool = false, carriesBulk: Bool = false, avoidsTCX: Bool = false
  ) {
    self.overlay = overlay
    self.namespace = namespace.map(NetworkNamespace.plainName)
    self.uplink = uplink
    self.uplinkNamespace = uplinkNamespace
    self.tier = tier
    self.mode = mode
    self.strict = strict
    self.bypassPolicy = bypassPolicy
    self.policy = policy
    self.outerChecksum = outerChecksum
    self.entryCapacity = entryCapacity
    self.portCapacity = portCapacity
    self.wait = wait
    self.workers = workers
    self.cpus = cpus
    self.frames = frames
    self.keepsOffloads = keepsOffloads
    self.carriesBulk = carriesBulk
    self.avoidsTCX = avoidsTCX
  }

  /// What no tier could do as asked is refused, never ignored.
  func check() throws(Failure) {
    for cpu in cpus { try CPU.check(cpu) }
    if mode == .generic, let tier, tier != .xdp {
      throw Failure(
        "attach tier", tier.rawValue, advice: "--generic is for tier xdp; \(tier.rawValue) has one mode.",
        status: .usage)
    }
    if policy == .connections && bypassPolicy {
      throw Failure(
        "follow", "--policy connections",
        advice: "--bypass-policy forwards whatever rules say; give one of the two.", status: .usage)
    }
    if carriesBulk, tier ?? (mode == .generic ? .xdp : .tc) == .tc {
      throw Failure(
        "carry bulk with tier", tier?.rawValue ?? "auto", advice: "Tier tc always does, in whole segments.",
        status: .usage)
    }
    if keepsOffloads && tier != .afxdp {
      throw Failure(
        "keep offloads with tier", tier?.rawValue ?? "auto",
        advice: tier == .tc
          ? "It keeps them anyway." : "Its programs cannot complete checksums; --tier afxdp can.",
        status: .usage)
    }
  }
}
