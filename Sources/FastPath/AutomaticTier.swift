// SPDX-License-Identifier: Apache-2.0
import LinuxSystem

/// What tier `auto` is: never tried out, and always said.
struct AutomaticTier {
  let tier = Tier.tc
  /// docs/performance.md has the figures.
  let reason =
    "containers' veths keep their segmentation offload with it, and what is not carried is as fast as without"

  /// - Parameter isSplit: bridge and uplink are in different namespaces, which a tc program cannot cross.
  init(overlay: String, isSplit: Bool) throws(Failure) {
    guard isSplit else { return }
    throw Failure(
      "choose a tier for", overlay,
      advice:
        "Its bridge and its uplink are in different namespaces (as Docker's are), which tier tc cannot cross, and "
        + "tier xdp makes containers' bulk TCP slower than the kernel. Where packets per second count more, ask for "
        + "--tier xdp or --tier afxdp.", status: .unavailable)
  }

  init() {}
}
