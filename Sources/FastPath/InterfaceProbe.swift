// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import LinuxSystem
import Netlink
import SystemPackage

/// What an interface can do for the fast path: asked, never tried out on it.
public struct InterfaceProbe: Codable, Sendable {
  public var schema = "culvert.probe/1"
  public var interface: String
  public var driver: String
  public var kind: String?
  public var mtu: UInt32
  public var receiveQueues: UInt32
  public var transmitQueues: UInt32
  /// nil where the kernel (before 6.3) does not say.
  public var xdp: XDP?
  /// Offloads that bear on raw frames.
  public var offloads: [String: Bool]
  /// An XDP program that is attached already: its id.
  public var attachedProgram: UInt32?
  /// Its name, where that may be read.
  public var attachedName: String?
  /// What `auto` would pick, and why; nil where nothing can be.
  public var tier: String?
  public var reason: String

  public struct XDP: Codable, Sendable {
    public var native: Bool
    public var redirectTarget: Bool
    public var multiBuffer: Bool
    public var zeroCopy: Bool
    enum CodingKeys: String, CodingKey {
      case native
      case redirectTarget = "redirect_target"
      case multiBuffer = "multi_buffer"
      case zeroCopy = "zero_copy"
    }
  }
  enum CodingKeys: String, CodingKey {
    case schema, interface, driver, kind, mtu, offloads, tier, reason, xdp
    case receiveQueues = "receive_queues"
    case transmitQueues = "transmit_queues"
    case attachedProgram = "attached_program"
    case attachedName = "attached_name"
  }

  /// Looks at `interface` in the namespace NS.
  public static func look(at interface: String, namespace: String?) throws -> InterfaceProbe {
    // One's own is looked at without entering it, which takes privileges.
    guard let namespace else { return try look(at: interface) }
    return try NetworkNamespace.open(namespace).run { try look(at: interface) }
  }

  private static func look(at name: String) throws -> InterfaceProbe {
    let links = try RouteConnection().links()
    guard let link = links.first(where: { $0.name == name }) else {
      throw Failure(
        "find interface", name, errno: Errno(rawValue: 19),
        advice: "Its namespace has: \(links.map(\.name).joined(separator: ", ")).")
    }
    let ethtool = try Ethtool()
    let offloads = try ethtool.features(of: name)
    let features = try XDPFeatures.of(interface: link.index)
    let interesting = [
      "tx-checksum-ip-generic", "tx-checksum-ipv4", "tx-tcp-segmentation", "tx-udp_tnl-segmentation",
      "rx-gro", "rx-gro-hw", "rx-lro", "rx-checksum",
    ]
    var probe = InterfaceProbe(
      interface: name, driver: (try? ethtool.driver(of: name).name) ?? link.kind ?? "unknown",
      kind: link.kind,
      mtu: link.mtu, receiveQueues: link.receiveQueues, transmitQueues: link.transmitQueues,
      xdp: features.map { features in
        XDP(
          native: features.contains([.basic, .redirect]), redirectTarget: features.contains(.redirectTarget),
          multiBuffer: features.contains([.receiveMultiBuffer, .redirectTargetMultiBuffer]),
          zeroCopy: features.contains(.zeroCopy))
      },
      offloads: offloads.filter { interesting.contains($0.key) }.mapValues(\.isOn),
      attachedProgram: link.xdpAttached == 0 ? nil : link.xdpProgramID, tier: nil, reason: "")
    probe.attachedName = probe.attachedProgram.flatMap(BPFProgram.name(ofID:))
    let automatic = AutomaticTier()
    (probe.tier, probe.reason) = (automatic.tier.rawValue, automatic.reason)
    if probe.attachedName?.hasPrefix("culvert_") == true {
      probe.reason += "; culvert's own program is attached already, `culvert status` shows whose"
    }
    return probe
  }
}
