// SPDX-License-Identifier: Apache-2.0
import Foundation
import Glibc
import LinuxSystem
import Netlink

/// What `culvert down --json` prints of one overlay.
public struct DownResult: Codable, Sendable {
  /// 0 where nobody had become the owner.
  public var pid: Int32
  public var overlay: String
  public var namespace: String
  /// "ended": it ran, and has given the packets back. "restored": its process had died. "cleared": it had ended by
  /// itself, and its record is removed.
  public var state: String
  /// What was changed and is as it was, a line each.
  public var restored: [String]

  public init(clearing record: EndRecord) {
    pid = record.pid
    overlay = record.overlay
    namespace = record.namespace
    state = "cleared"
    restored = []
  }

  init(_ owner: Owner?, _ directory: RuntimeDirectory, _ state: String, _ restored: [String]) {
    pid = owner?.pid ?? 0
    overlay = owner?.overlay ?? directory.path
    namespace = owner?.namespace ?? ""
    self.state = state
    self.restored = restored
  }
}

extension Overlays {
  /// Ends a fast path: asks a living owner, restores for a dead one. Returns once it is over; nil where there was
  /// nothing to end any more, as when somebody else was first.
  public static func down(_ directory: RuntimeDirectory, seconds: Int = 30) throws -> DownResult? {
    let deadline = Clock.monotonicNanoseconds + UInt64(seconds) * 1_000_000_000
    while directory.isHeld {
      let owner = directory.owner
      let process = owner.map { "process \($0.pid)" } ?? "the process that holds \(directory.path)"
      if let owner, owner.isStopped {
        throw Failure(
          "end", process, advice: "It is stopped; `kill -CONT \(owner.pid)` resumes it, then it can end.")
      }
      let now = Clock.monotonicNanoseconds
      guard now < deadline else {
        throw Failure("end", process, advice: "It has not ended within \(seconds) s.")
      }
      let left = Int((deadline - now) / 1_000_000)
      switch try ask(directory, .down, as: DownReply.self, milliseconds: left) {
      case .answered(let reply):
        _ = directory.waitUntilFree(milliseconds: left)
        return DownResult(owner, directory, "ended", reply.restored)
      case .silent:
        throw Failure("end", process, advice: "It has not answered within \(seconds) s.")
      case .ending, .notListening:
        // It begins, and will listen; or it ends, and releases the lock.
        usleep(20_000)
      }
    }
    guard directory.exists else { return nil }
    let (result, owed) = try restore(directory)
    guard owed.isEmpty else {
      throw Failure("restore", result.overlay, advice: result.restored.joined(separator: "\n  "))
    }
    return result
  }

  /// Restores what a dead owner left; what could not be stays owed.
  private static func restore(_ directory: RuntimeDirectory) throws -> (DownResult, owed: Journal) {
    // Whoever begins meanwhile keeps what it writes.
    let lock = try directory.lock()
    defer { withExtendedLifetime(lock.raw) {} }
    let owner = directory.owner
    // A namespace that is gone took its own settings along, and nothing of any other's.
    let outcome = Journal.read(directory)?.restore() ?? (lines: [], owed: Journal())
    directory.remove(unlessOwed: outcome.owed)
    if let owner { EndRecord.removeLog(of: owner.pid) }
    return (DownResult(owner, directory, "restored", outcome.lines), outcome.owed)
  }

  /// Restores what dead owners left whose overlay's namespace is gone: nobody can name that any more, and an uplink
  /// in another namespace may still have a changed far end. For commands that change things.
  public static func restoreOrphans(_ report: (String) -> Void) {
    // From another PID namespace a living namespace could look gone.
    guard NamespaceSearch.seesEveryProcess else { return }
    for directory in RuntimeDirectory.all() where !directory.isHeld {
      guard let inode = directory.namespaceInode, NamespaceSearch.find(inode: inode) == nil,
        let (result, _) = try? restore(directory)
      else { continue }
      for line in result.restored { report(line) }
    }
  }
}
