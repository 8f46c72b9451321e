// SPDX-License-Identifier: Apache-2.0
import LinuxSystem

/// What tier `auto` is: never tried out, and always said.
struct AutomaticTier {
  let tier = Tier.tc
  /// docs/performance.md has the figures.
  let reason =
    "it leaves veths their segmentation offload, so packets left to the kernel are no slower than without"
}
