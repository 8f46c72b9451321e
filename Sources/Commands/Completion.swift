// SPDX-License-Identifier: Apache-2.0
import ArgumentParser

/// What a shell offers for an option's value.
extension CompletionKind {
  static var namespaces: CompletionKind { .shellCommand("ls /run/netns 2> /dev/null") }
  static var nodes: CompletionKind {
    .shellCommand("ls /run/netns 2> /dev/null | sed -n 's/^culvert-//p'")
  }
  static var tiers: CompletionKind { .list(["auto", "xdp", "afxdp", "tc"]) }
  /// The networks of `list`, each with the tiers that can serve it.
  static func networks(_ list: [String], tiers: (String) -> [String]) -> CompletionKind {
    .list(list.flatMap { network in [network] + tiers(network).map { "\(network)+\($0)" } })
  }
  /// What `up` could serve here.
  static var overlays: CompletionKind {
    .shellCommand(
      "for type in bridge vxlan; do ip -br link show type $type; done 2> /dev/null | sed 's/[ @].*//'")
  }
  /// What is served, in whatever namespace.
  static var servedOverlays: CompletionKind {
    .shellCommand(
      "sed -n 's/.*\"overlay\" *: *\"\\([^\"]*\\)\".*/\\1/p' /run/culvert/overlays/*/owner.json 2> /dev/null")
  }
  static var interfaces: CompletionKind { .shellCommand("ls /sys/class/net") }
}
