// SPDX-License-Identifier: Apache-2.0
import Netlink

/// What tier `auto` is on an uplink: never tried out, and always said.
struct AutomaticTier {
  var tier: Tier
  var reason: String

  /// - Parameter features: nil where the kernel (before 6.3) does not say.
  init(uplink: Link, features: XDPFeatures?) {
    guard let features else {
      self.init(.xdp, "this kernel does not say what the driver can; `up` finds out when it attaches")
      return
    }
    if !features.contains([.basic, .redirect]) {
      self.init(.tc, "the driver has no native XDP")
    } else if uplink.kind == "veth" {
      // `up` switches GRO on at its far end, which makes it one.
      self.init(.xdp, "native XDP, and a veth can be made a redirect target")
    } else if !features.contains(.redirectTarget) {
      self.init(.tc, "the driver has native XDP, and cannot transmit redirected frames")
    } else {
      self.init(.xdp, "native XDP, and a redirect target")
    }
  }

  private init(_ tier: Tier, _ reason: String) {
    self.tier = tier
    self.reason = reason
  }
}
