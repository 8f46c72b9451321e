// SPDX-License-Identifier: Apache-2.0
import CLinuxSystem

/// BPF programs that run on some CPU at the moment.
public enum RunningPrograms {
  /// Waits for the end of those that may have seen a map as it was before its last change: milliseconds. A kernel with
  /// CPUs that never tick (nohz_full) cannot tell; there it returns at once.
  public static func waitUntilOver() { _ = culvert_wait_for_readers() }
}
