// SPDX-License-Identifier: Apache-2.0
import Lab
import LinuxSystem

/// A kernel network and, optionally, the tier that Culvert attaches to it: "vxlan+xdp".
public struct Network: Hashable, Sendable, CustomStringConvertible {
  public var base: String
  public var tier: String?

  public init(base: String, tier: String? = nil) {
    self.base = base
    self.tier = tier
  }

  /// The tier that Culvert chooses by itself.
  public static let automatic = "auto"

  /// The overlay as the kernel makes it, beside the tuned one.
  public static let asShipped = "vxlan@as-shipped"

  /// What this version builds; the tiers are those it is given.
  public static let bases =
    ["bare", "host", "container", "bridge", "nat", "none", "vxlan", asShipped, "flannel", "calico"]

  /// What a tier is compared with beside the kernel, on the overlay's hosts: frames come out as they went in. They
  /// carry no traffic but live frames.
  public static let relays = [redirect, testpmd]
  /// XDP redirect without any work.
  public static let redirect = Network(base: "redirect")
  /// DPDK's dpdk-testpmd, forwarding mode io, on its net_af_xdp in copy mode.
  public static let testpmd = Network(base: "testpmd")

  /// Everything: the bases and, on overlays, the tiers; on a bridge alone those that serve one.
  public static func all(tiers: [String]) -> [String] {
    bases + ["vxlan", "flannel", "calico"].flatMap { base in tiers.map { "\(base)+\($0)" } }
      + tiers.filter { $0 == "tc" || $0 == automatic }.map { "bridge+\($0)" }
  }

  /// Throws for a name that is none of `bases`, or a tier that cannot serve it.
  public init(_ text: String, tiers: [String]) throws(Failure) {
    let parts = text.split(separator: "+", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    self.init(base: parts[0], tier: parts.count > 1 ? parts[1] : nil)
    let known = Self.all(tiers: tiers)
    guard known.contains(description) else {
      throw Failure(
        "compare network", text, advice: "Known: \(known.joined(separator: " ")).", status: .usage)
    }
  }

  public var description: String { tier.map { "\(base)+\($0)" } ?? base }

  /// The kernel's network that the tier is on.
  var withoutTier: Network { Network(base: base) }

  var isRelay: Bool { Self.relays.contains(self) }
  /// Of the driver that puts it on a host; nil for what is the kernel's alone.
  var driver: String? { tier ?? (isRelay ? base : nil) }

  /// The lab it is found on: what needs nothing but the overlay's hosts and containers shares one.
  var lab: LabSpec.Network {
    switch base {
    case "container": .container
    case "bridge": .bridge
    case "nat": .nat
    case "none": .none
    case "flannel": .flannel
    case "calico": .calico
    default: .vxlan
    }
  }

  /// Its ends are the hosts themselves.
  var isOfHosts: Bool { base == "bare" || base == "host" }

  var hasServices: Bool { lab.isRouted }

  /// Why it cannot take part in a row; nil where it can.
  func reasonToSkip(_ cell: Cell) -> String? {
    if cell.span == .oneHost {
      if cell.measure.isLiveFrames || cell.measure.isToService { return "its ends are on two hosts" }
      if cell.measure == .launch { return "where it is made is all that there is" }
      if base == "nat" { return "what is translated is what passes between hosts" }
    }
    if cell.measure.together != nil {
      if base == "nat" { return "a container's ports are published one by one" }
      if cell.span != .oneHost && lab.isOfOneHost { return "its containers are on one host" }
    }
    if cell.measure.isSteered {
      if cell.placement == .oneCore { return "each end needs a CPU of its own" }
      if lab.isOfOneHost { return "both ends are on one host" }
      if tier == "xdp" || tier == "afxdp" { return "what it does on receipt runs where the packet was sent" }
    }
    return reasonToSkip(cell.measure)
  }

  /// Why it cannot carry a workload; nil where it can.
  func reasonToSkip(_ measure: Measure) -> String? {
    if measure.entries > 0 && lab != .vxlan { return "its tiers have no table of containers" }
    if measure.entries > 0 && tier == nil { return "it has no tier whose table could be filled" }
    if measure.isToService && !hasServices { return "it has no services" }
    if measure == .tcpStreamToHost && !["bridge", "vxlan", Self.asShipped, "flannel"].contains(base) {
      return "no container here is behind a bridge on which its host has an address"
    }
    if lab.isRouted && tier != nil && measure == .tcpConnectRoundTrip {
      return "the packets that begin and end connections are the kernel's to judge, and most are such"
    }
    switch base {
    case "none": return measure == .launch ? nil : "loopback alone leads nowhere: none is for launch"
    case _ where !measure.isLiveFrames: return isRelay ? "a relay forwards live frames only" : nil
    case "host": return "no container's port is on the way: that is bare"
    case "container": return "loopback takes no live frames"
    case "nat": return "a translation begins with a socket's packets and needs the answers too"
    default: return nil
    }
  }
}
