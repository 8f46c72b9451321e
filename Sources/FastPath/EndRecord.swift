// SPDX-License-Identifier: Apache-2.0
import Foundation
import Glibc
import LinuxSystem

/// How an overlay's fast path ended that nobody had asked to end and whose messages nobody reads: kept, beside the log
/// of its process, until the next `up` of the overlay or `down`. The process may go on with other overlays.
public struct EndRecord: Codable, Equatable, Sendable {
  public var pid: Int32
  public var overlay: String
  public var namespace: String
  public var namespaceInode: UInt64
  public var reason: String
  /// ISO 8601.
  public var time: String
  public var log: String

  static let root = "/run/culvert/ended"
  private var path: String { "\(Self.root)/\(pid)-\(namespaceInode)-\(overlay).json" }

  /// Of this process.
  init(of overlay: String, named namespace: String, in identity: NetworkNamespace.Identity, because error: any Error) {
    pid = getpid()
    self.overlay = overlay
    self.namespace = namespace
    namespaceInode = identity.inode
    reason = (error as? Failure)?.advice ?? "\(error)"
    time = ISO8601DateFormatter().string(from: Date())
    log = Owner.logPath(of: getpid())
  }

  func write() throws {
    for folder in ["/run/culvert", Self.root] { try Folder.make(folder) }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    try FileText.replace(
      path, with: String(decoding: encoder.encode(self), as: UTF8.self) + "\n")
  }

  public static func all() -> [EndRecord] {
    Folder.names(root).filter { $0.hasSuffix(".json") }.compactMap { name in
      (try? FileText.read("\(root)/\(name)")).flatMap {
        try? JSONDecoder().decode(EndRecord.self, from: Data($0.utf8))
      }
    }
  }

  /// The bridge may have been made anew since, with another number.
  static func clear(of overlay: String, in namespace: NetworkNamespace.Identity) {
    clear { $0.overlay == overlay && $0.namespaceInode == namespace.inode }
  }

  /// Removes records, and with the last of a process that is gone its log; returns them.
  @discardableResult
  public static func clear(where isMeant: (EndRecord) -> Bool) -> [EndRecord] {
    let meant = all().filter(isMeant)
    for record in meant { unlink(record.path) }
    for pid in Set(meant.map(\.pid)) { removeLog(of: pid) }
    return meant
  }

  /// Unless a record says that it is to be read, or the process still serves something.
  public static func removeLog(of pid: Int32) {
    let isRead = all().contains { $0.pid == pid }
    let isWritten = RuntimeDirectory.all().contains { $0.owner?.pid == pid && $0.isHeld }
    if !isRead, !isWritten { unlink(Owner.logPath(of: pid)) }
  }

  var status: Status {
    var status = Status.known(pid: pid, state: "ended", overlay: overlay, namespace: namespace)
    status.reason = reason
    status.time = time
    status.log = access(log, F_OK) == 0 ? log : nil
    return status
  }
}
