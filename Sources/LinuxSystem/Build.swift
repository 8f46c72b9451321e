// SPDX-License-Identifier: Apache-2.0

/// What this binary is.
public enum Build {
  public static let version = "0.1.0"

  /// A debug build's timings mean little: whatever reports one says so.
  public static var isDebug: Bool {
    #if DEBUG
      true
    #else
      false
    #endif
  }
}
