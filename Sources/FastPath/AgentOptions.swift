// SPDX-License-Identifier: Apache-2.0
import LinuxSystem

/// What one process is asked to serve.
public struct AgentOptions: Sendable {
  /// Overlays by their bridge or VXLAN device; nil is every overlay that is found, now and later.
  public var overlays: [String]?
  /// Look for them also in the namespaces that processes and mounts hold.
  public var allNamespaces: Bool
  /// What is asked for each. Its `overlay` is not looked at; its `namespace` is where they are, or are looked for first.
  public var each: FastPathOptions
  /// Nobody reads what is reported: an overlay that was named and ends by itself leaves an `EndRecord`.
  public var isDetached: Bool

  public init(overlays: [String]?, allNamespaces: Bool = false, each: FastPathOptions, isDetached: Bool = false) {
    self.overlays = overlays
    self.allNamespaces = allNamespaces
    self.each = each
    self.isDetached = isDetached
  }

  func check() throws(Failure) {
    try each.check()
    guard let overlays else { return }
    for (index, name) in overlays.enumerated() where overlays[..<index].contains(name) {
      throw Failure("serve", name, advice: "It is named twice.", status: .usage)
    }
    guard !allNamespaces else {
      throw Failure(
        "look in", "all namespaces", advice: "--all-namespaces serves what is found; name no --overlay with it.",
        status: .usage)
    }
  }
}
