// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import LinuxSystem
import Netlink

/// Whether frames can be redirected to a device at all.
enum RedirectTarget {
  /// Asked of the kernel, in the device's namespace; before 6.3 it does not say, and
  /// the answer is yes.
  static func isReady(_ link: Link, mode: XDPMode) throws -> Bool {
    // In generic mode frames leave through the stack's own transmit path.
    guard mode == .native, let features = try XDPFeatures.of(interface: link.index) else { return true }
    return features.contains(.redirectTarget)
  }

  static func failure(_ link: Link) -> Failure {
    let veth =
      "The far end of this veth runs no NAPI: `ethtool -K <far end> gro on`, while it is up."
    return Failure(
      "redirect frames to", link.name,
      advice: link.kind == "veth" ? veth : "Its driver cannot transmit redirected frames (ndo_xdp_xmit).",
      status: .unavailable)
  }
}
