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

  /// Where it is, if there is one.
  var keptLog: String? { access(logPath, F_OK) == 0 ? logPath : nil }

  /// What ends it, or restores after it.
  public var downCommand: String { Self.downCommand(namespace) }
  public static func downCommand(_ namespace: String) -> String { command("down", namespace) }
  static func command(_ verb: String, _ namespace: String) -> String {
    namespace.hasPrefix("net:[") ? "culvert \(verb)" : "culvert \(verb) --netns \(namespace)"
  }

  public static func startTime(of pid: Int32) -> UInt64? {
    guard let text = try? FileText.read("/proc/\(pid)/stat"),
      let afterName = text.lastIndex(of: ")")
    else { return nil }
    // Field 3 follows the name's closing bracket.
    let fields = text[text.index(after: afterName)...].split(separator: " ")
    return fields.count > 19 ? UInt64(fields[19]) : nil
  }

  /// Whether it was stopped (SIGSTOP), as far as its process can be seen from here.
  var isStopped: Bool {
    guard Owner.startTime(of: pid) == startTime, let text = try? FileText.read("/proc/\(pid)/stat"),
      let afterName = text.lastIndex(of: ")")
    else { return false }
    return ["T", "t"].contains(text[text.index(after: afterName)...].split(separator: " ").first)
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

  /// In place of a bridge's: of a process that looks for overlays. No interface has it.
  public static let agentNumber: Int32 = 0
  public var isAgents: Bool { bridgeIndex == Self.agentNumber }

  public var journalPath: String { path + "/journal.json" }
  public var socketPath: String { path + "/control.sock" }
  public var ownerPath: String { path + "/owner.json" }
  var lockPath: String { path + "/lock" }
  var programsPath: String { path + "/programs.json" }

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

  /// Ids of the BPF programs that the owner attaches.
  func note(programs: Set<UInt32>) throws {
    try write(JSONEncoder().encode(programs.sorted()), to: programsPath)
  }

  /// Those of every owner that is alive, by id: Culvert's own, whichever process attached them.
  static func livingPrograms() -> [UInt32: Owner] {
    var found: [UInt32: Owner] = [:]
    for directory in all() {
      guard directory.isHeld, let owner = directory.owner,
        let data = FileManager.default.contents(atPath: directory.programsPath),
        let programs = try? JSONDecoder().decode([UInt32].self, from: data)
      else { continue }
      for program in programs { found[program] = owner }
    }
    return found
  }

  /// Readable by all: what it says is what ip(8) says to all.
  func create() throws(Failure) {
    for folder in ["/run/culvert", Self.root, path] { try Folder.make(folder) }
  }

  var exists: Bool { access(path, F_OK) == 0 }

  /// Whether a process holds the lock, which goes with it however it ends. Its number would not tell: it may be of a
  /// PID namespace that cannot be seen from here.
  public var isHeld: Bool {
    let raw = culvert_open(lockPath, O_RDONLY, 0)
    guard raw >= 0 else {
      // Only root may touch the lock; everybody else learns as much from the control socket.
      return Errno.last == .permissionDenied && ControlClient.isAnybodyListening(at: socketPath)
    }
    let descriptor = OwnedDescriptor(adopting: raw)
    return flock(descriptor.raw, LOCK_SH | LOCK_NB) != 0 && Errno.last == .wouldBlock
  }

  /// False while it is still held after so long.
  func waitUntilFree(milliseconds: Int) -> Bool {
    let deadline = Clock.monotonicNanoseconds + UInt64(milliseconds) * 1_000_000
    while isHeld {
      guard Clock.monotonicNanoseconds < deadline else { return false }
      usleep(10_000)
    }
    return true
  }

  /// Takes the lock, which goes with the process, and writes who holds it.
  func lock(for owner: Owner) throws -> OwnedDescriptor {
    let descriptor = try lock()
    try write(JSONEncoder().encode(owner), to: ownerPath)
    return descriptor
  }

  /// Makes this process the overlay's owner; what is known of how it ended before goes, and the logs of that.
  func take(
    _ overlay: String, named namespace: String?, in identity: NetworkNamespace.Identity
  ) throws -> OwnedDescriptor {
    try create()
    guard let start = Owner.startTime(of: getpid()) else { throw Failure("read", "/proc/\(getpid())/stat") }
    let predecessor = owner
    let lock = try lock(
      for: Owner(pid: getpid(), startTime: start, overlay: overlay, namespace: namespace ?? "\(identity)"))
    EndRecord.clear(of: overlay, in: identity)
    if let predecessor, predecessor.pid != getpid() { EndRecord.removeLog(of: predecessor.pid) }
    return lock
  }

  /// Takes the lock without becoming the owner.
  func lock() throws -> OwnedDescriptor {
    // Somebody who looks whether it is held has it for a moment; so has one who removes the folder.
    for attempt in 0... {
      try create()
      let descriptor = try OwnedDescriptor.open(lockPath, flags: O_RDWR | O_CREAT)
      if flock(descriptor.raw, LOCK_EX | LOCK_NB) == 0 {
        var (held, now) = (stat(), stat())
        if fstat(descriptor.raw, &held) == 0, stat(lockPath, &now) == 0, held.st_ino == now.st_ino {
          return descriptor
        }
      } else if attempt >= 20 {
        guard let owner else {
          throw Failure("lock", path, errno: .resourceBusy, advice: "Another process holds it.")
        }
        throw Failure(
          "serve", owner.overlay, errno: .resourceBusy,
          advice:
            "Process \(owner.pid) serves it already; `culvert status` shows it, `\(owner.downCommand)` ends it."
        )
      }
      usleep(5_000)
    }
    fatalError("unreachable")
  }

  /// Written whole or not at all, and on disk before this returns.
  func write(_ data: Data, to file: String) throws(Failure) {
    let temporary = file + ".new"
    let descriptor = try OwnedDescriptor.open(temporary, flags: O_WRONLY | O_CREAT | O_TRUNC, mode: 0o644)
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
