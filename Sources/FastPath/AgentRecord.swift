// SPDX-License-Identifier: Apache-2.0
import Glibc
import LinuxSystem

/// Tells other processes that one looks for overlays from here: there is one in a namespace. Its directory is that of an
/// overlay whose bridge has no number.
final class AgentRecord {
  let directory: RuntimeDirectory
  let owner: Owner
  private let lock: OwnedDescriptor

  /// - Parameter name: how its namespace was named, if it was.
  init(_ namespace: NetworkNamespace.Identity, named name: String?) throws {
    directory = RuntimeDirectory(namespace: namespace, bridge: RuntimeDirectory.agentNumber)
    guard let start = Owner.startTime(of: getpid()) else { throw Failure("read", "/proc/\(getpid())/stat") }
    owner = Owner(
      pid: getpid(), startTime: start, overlay: "every overlay", namespace: name ?? "\(namespace)")
    lock = try directory.lock(for: owner)
  }

  deinit { directory.remove() }
}
