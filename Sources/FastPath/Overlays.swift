// SPDX-License-Identifier: Apache-2.0
import Foundation
import Glibc
import LinuxSystem
import Netlink

/// The fast paths of this machine, found by their runtime directories: for the
/// commands that talk to another process.
public enum Overlays {
  /// Forgets dead fast paths whose namespace is gone, and with it all they had changed.
  public static func purge() {
    for directory in RuntimeDirectory.all() {
      guard let owner = directory.owner, !owner.isAlive, let inode = directory.namespaceInode,
        NamespaceSearch.find(inode: inode) == nil
      else { continue }
      unlink(owner.logPath)
      directory.remove()
    }
  }

  /// Those of one namespace, or of all.
  public static func directories(namespace reference: String?, all: Bool) throws -> [RuntimeDirectory] {
    try RuntimeDirectory.check()
    // Held open, the namespace in question is found and kept.
    let namespace = try NetworkNamespace.open(reference)
    purge()
    let every = RuntimeDirectory.all()
    return all ? every : every.filter { $0.namespaceInode == namespace.identity.inode }
  }

  /// What a living owner says, or what is known of a dead one.
  public static func status(_ directory: RuntimeDirectory) throws -> Status {
    guard let owner = directory.owner else {
      throw Failure("read", directory.path, advice: "No owner is recorded; `culvert down` cleans up.")
    }
    if owner.isAlive {
      do {
        return try JSONDecoder().decode(Status.self, from: askOwner(directory, .status))
      } catch let failure as Failure where failure.errno != nil {
        // It holds the directory and does not listen yet, or no longer.
        return known(of: owner, state: "starting", changes: [])
      }
    }
    return known(of: owner, state: "dead", changes: Journal.read(directory)?.summary ?? [])
  }

  private static func known(of owner: Owner, state: String, changes: [String]) -> Status {
    Status(
      pid: owner.pid, state: state, namespace: owner.namespace, overlay: owner.overlay, bridge: owner.overlay,
      vxlan: "", vni: 0, uplink: "", tier: "", mode: "", strict: false, ports: [], entries: .init(),
      tunnels: [],
      changes: changes)
  }

  public static func stats(_ directory: RuntimeDirectory) throws -> Stats {
    try JSONDecoder().decode(Stats.self, from: askOwner(directory, .stats))
  }

  /// Ends a fast path: asks a living owner, restores for a dead one. Returns lines for people.
  public static func down(_ directory: RuntimeDirectory) throws -> [String] {
    if let owner = directory.owner, owner.isAlive {
      do {
        _ = try askOwner(directory, .down, seconds: 30)
        return ["\(owner.overlay): process \(owner.pid) has let go"]
      } catch let failure as Failure where failure.errno != nil && owner.hasEnded(within: 5000) {
        // It was on its way out: what it leaves is what any dead one leaves.
      }
    }
    // Whoever begins meanwhile keeps what it writes.
    let lock = try directory.lock()
    defer { withExtendedLifetime(lock.raw) {} }
    let overlay = directory.owner?.overlay ?? directory.path
    var lines = ["\(overlay): its process has died; the kernel's path was back at once"]
    var owed = Journal()
    if let journal = Journal.read(directory), !journal.isEmpty {
      if let inode = directory.namespaceInode, NamespaceSearch.find(inode: inode) != nil {
        let outcome = journal.restore()
        lines += outcome.lines
        owed = outcome.owed
      } else {
        lines.append("its namespace is gone, and with it what had been changed")
      }
    }
    if let owner = directory.owner { unlink(owner.logPath) }
    directory.remove(unlessOwed: owed)
    guard owed.isEmpty else {
      throw Failure("restore", overlay, advice: lines.joined(separator: "\n  "))
    }
    return lines
  }
}
