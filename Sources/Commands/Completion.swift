// SPDX-License-Identifier: Apache-2.0
import ArgumentParser

/// What a shell offers for an option's value.
extension CompletionKind {
  static var namespaces: CompletionKind { .shellCommand("ls /run/netns 2> /dev/null") }
  static var nodes: CompletionKind {
    .shellCommand("ls /run/netns 2> /dev/null | sed -n 's/^culvert-//p'")
  }
  static var tiers: CompletionKind { .list(["auto", "xdp", "afxdp", "tc"]) }
  static var interfaces: CompletionKind { .shellCommand("ls /sys/class/net") }
}
