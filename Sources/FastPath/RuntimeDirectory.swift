// SPDX-License-Identifier: Apache-2.0
import CLinuxSystem
import Foundation
import LinuxSystem
import SystemPackage

/// Who holds a runtime directory: a process told from its successors with the
/// same number by its start time.
public struct Owner: Codable, Equatable, Sendable {
  public var pid: Int32
  /// Field 22 of /proc/PID/stat, in clock ticks since boot (proc(5)).
  public var startTime: UInt64
  public var overlay: String
  public var namespace: String

  /// What a process that was started with --detach has to say after it is ready.
  public var logPath: String { Self.logPath(of: pid) }
  public static func logPath(of pid: Int32) -> String { "/run/culvert/log/up-\(pid).log" }

  /// What ends it, or restores after it.
  public var downCommand: String { Self.downCommand(namespace) }
  public static func downCommand(_ namespace: String) -> String {
    namespace.hasPrefix("net:[") ? "culvert down" : "culvert down --netns \(namespace)"
  }

  public static func startTime(of pid: Int32) -> UInt64? {
    guard let text = try? FileText.read("/proc/\(pid)/stat"),
      let afterName = text.lastIndex(of: ")")
    else { return nil }
    // Field 3 follows the name's closing bracket.
    let fields = text[text.index(after: afterName)...].split(separator: " ")
    return fields.count > 19 ? UInt64(fields[19]) : nil
  }

  /// Whether the very process still runs.
  public var isAlive: Bool { !hasEnded(within: 0) }

  /// Waits for its end. A process that nobody has waited for yet (a zombie) has ended: its pidfd is readable.
  func hasEnded(within milliseconds: Int32) -> Bool {
    let descriptor = culvert_pidfd_open(pid)
    guard descriptor >= 0 else { return true }
    defer { close(descriptor) }
    guard Owner.startTime(of: pid) == startTime else { return true }
    var end = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    return poll(&end, 1, milliseconds) == 1
  }
}

/// /run/culvert/overlays/<namespace inode>-<bridge's ifindex>/: lock, owner, journal and
/// control socket of one overlay's fast path.
public struct RuntimeDirectory: Sendable, Hashable {
  public static let root = "/run/culvert/overlays"
  public let path: String

  public init(namespace: NetworkNamespace.Identity, bridge: Int32) {
    path = "\(Self.root)/\(namespace.inode)-\(bridge)"
  }
  init(path: String) { self.path = path }

  public var journalPath: String { path + "/journal.json" }
  public var socketPath: String { path + "/control.sock" }
  public var ownerPath: String { path + "/owner.json" }
  var lockPath: String { path + "/lock" }

  /// Throws where they may not be seen.
  public static func check() throws(Failure) { try Folder.check(root) }

  /// Every overlay that has or had a fast path.
  public static func all() -> [RuntimeDirectory] {
    Folder.names(root).map { RuntimeDirectory(path: "\(root)/\($0)") }
  }

  /// The inode of the overlay's namespace, from the directory's name.
  public var namespaceInode: UInt64? {
    path.split(separator: "/").last?.split(separator: "-").first.flatMap { UInt64($0) }
  }
  public var bridgeIndex: Int32? {
    path.split(separator: "/").last?.split(separator: "-").last.flatMap { Int32($0) }
  }

  public var owner: Owner? {
    guard let data = FileManager.default.contents(atPath: ownerPath) else { return nil }
    return try? JSONDecoder().decode(Owner.self, from: data)
  }

  func create() throws(Failure) {
    do {
      try FileManager.default.createDirectory(
        atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    } catch {
      throw Failure("create", path, errno: .last, advice: "Run as root.")
    }
  }

  /// Takes the lock, which goes with the process, and writes who holds it.
  func lock(for owner: Owner) throws -> OwnedDescriptor {
    let descriptor = try lock()
    try write(JSONEncoder().encode(owner), to: ownerPath)
    return descriptor
  }

  /// Takes the lock without becoming the owner.
  func lock() throws -> OwnedDescriptor {
    let descriptor = try OwnedDescriptor.open(lockPath, flags: O_RDWR | O_CREAT)
    guard flock(descriptor.raw, LOCK_EX | LOCK_NB) == 0 else {
      let errno = Errno.last
      let holder = self.owner.map { "process \($0.pid)" } ?? "another process"
      throw Failure(
        "lock", path, errno: errno,
        advice:
          "\(holder) already serves this overlay; `culvert status` shows it, `\(self.owner?.downCommand ?? "culvert down")` ends it."
      )
    }
    return descriptor
  }

  /// Written whole or not at all, and on disk before this returns.
  func write(_ data: Data, to file: String) throws(Failure) {
    let temporary = file + ".new"
    let descriptor = try OwnedDescriptor.open(temporary, flags: O_WRONLY | O_CREAT | O_TRUNC)
    let written = data.withUnsafeBytes { Glibc.write(descriptor.raw, $0.baseAddress, $0.count) }
    guard written == data.count, fsync(descriptor.raw) == 0, rename(temporary, file) == 0 else {
      throw Failure("write", file, errno: .last)
    }
  }

  /// A journal that is still owed stays for the next `up` or `down`.
  func remove(unlessOwed journal: Journal) {
    guard !journal.isEmpty, (try? journal.save(self)) != nil else { return remove() }
    unlink(socketPath)
  }

  func remove() { try? FileManager.default.removeItem(atPath: path) }
}
