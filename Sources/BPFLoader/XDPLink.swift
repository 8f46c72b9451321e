// SPDX-License-Identifier: Apache-2.0
import CLibXDP
import Glibc
import LinuxSystem
import SystemPackage

/// Where an XDP program runs.
public enum XDPMode: String, Sendable, Codable, CustomStringConvertible {
  /// In the driver (XDP_FLAGS_DRV_MODE).
  case native
  /// On skbs, for any device (XDP_FLAGS_SKB_MODE).
  case generic
  public var description: String { rawValue }
}

/// An XDP program attached to an interface. Detaches when it goes, also with its process.
public struct XDPLink: ~Copyable, Sendable {
  public let interface: String
  public let ifindex: UInt32
  public let mode: XDPMode
  public let descriptor: OwnedDescriptor

  /// bpf_link_create(2) with an explicit mode: never a silent fallback to the other.
  /// - Parameters:
  ///   - ifindex: in the calling thread's network namespace.
  ///   - interface: its name, for messages.
  ///   - endsFirst: before anything else that the process holds, should it be killed: the kernel closes a dead process's
  ///     descriptors from the highest on, one after the other, and sockets take it milliseconds each.
  public init(
    attaching program: borrowing BPFProgram, to ifindex: UInt32, interface: String, mode: XDPMode,
    endsFirst: Bool = false
  ) throws(Failure) {
    let flags: UInt32 = mode == .native ? 1 << 2 : 1 << 1
    let raw = culvert_xdp_link(program.descriptor.raw, Int32(ifindex), flags)
    guard raw >= 0 else {
      let errno = Errno(rawValue: -raw)
      throw Failure(
        "attach XDP program \(program.name) (\(mode)) to", interface, errno: errno,
        advice: Self.advice(errno, interface, mode), status: Self.status(errno))
    }
    self.interface = interface
    self.ifindex = ifindex
    self.mode = mode
    // Above whatever else is likely to be open; where so many are not allowed it stays where it is.
    let high = endsFirst ? fcntl(raw, F_DUPFD_CLOEXEC, 512) : -1
    if high >= 0 { close(raw) }
    descriptor = OwnedDescriptor(adopting: high >= 0 ? high : raw)
  }

  /// False once the interface has gone; the link then holds nothing.
  public var isAttached: Bool {
    var info = bpf_link_info()
    var size = UInt32(MemoryLayout<bpf_link_info>.size)
    guard bpf_obj_get_info_by_fd(descriptor.raw, &info, &size) == 0 else { return false }
    return info.xdp.ifindex != 0
  }

  private static func status(_ errno: Errno) -> ExitStatus? {
    [.notSupportedOnSocket, .outOfRange, .noSpace].contains(errno) ? .unavailable : nil
  }

  /// What the drivers and dev_xdp_attach() mean by it.
  private static func advice(_ errno: Errno, _ interface: String, _ mode: XDPMode) -> String? {
    switch errno {
    case .resourceBusy:
      "Another XDP program is attached: `ip -details link show dev \(interface)` names it, "
        + "`ip link set dev \(interface) xdp off` removes one that no process holds."
    case .fileExists:
      "An XDP program is attached in the other mode: native and generic exclude each other."
    case .notSupportedOnSocket:
      mode == .native
        ? "The driver has no native XDP, or not with the offloads that are on (LRO, hardware GRO): "
          + "ask for generic mode, or turn them off with ethtool -K."
        : "This interface takes no XDP program."
    case .outOfRange:
      "The MTU is too large for XDP in this driver: lower that of \(interface) and of its peer."
    case .noSpace:
      "A veth needs as many receive queues as its peer has transmit queues: "
        + "ethtool -L \(interface) rx N, or fewer tx queues at the peer."
    case .invalidArgument:
      "The interface is no longer there, or not in this network namespace; or the driver refused: "
        + "MTU too large for XDP, too few queues, or enslaved to a bond. The kernel's log may say which."
    case .socketNotConnected: "The veth's peer is gone."
    case .notPermitted, .permissionDenied: "Run as root, or with CAP_BPF and CAP_NET_ADMIN."
    default: nil
    }
  }
}
