// SPDX-License-Identifier: Apache-2.0
import LinuxSystem

/// What tier `auto` is: never tried out, and always said.
struct AutomaticTier {
  let tier = Tier.tc
  /// docs/performance.md has the figures.
  let reason =
    "containers' veths keep their segmentation offload with it, and what is not carried is as fast as without"
}
