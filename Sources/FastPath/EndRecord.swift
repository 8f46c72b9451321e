// SPDX-License-Identifier: Apache-2.0
import Foundation
import Glibc
import LinuxSystem

/// How a detached fast path ended that nobody had asked to end: kept, beside its log, until the next `up` of the
/// overlay or `down`.
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
  private static func path(_ pid: Int32) -> String { "\(root)/\(pid).json" }

  /// Of this process.
  public init(overlay: String, namespace: String, namespaceInode: UInt64, reason: String) {
    pid = getpid()
    self.overlay = overlay
    self.namespace = namespace
    self.namespaceInode = namespaceInode
    self.reason = reason
    time = ISO8601DateFormatter().string(from: Date())
    log = Owner.logPath(of: getpid())
  }

  public func write() throws {
    for folder in ["/run/culvert", Self.root] { try Folder.make(folder) }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    try FileText.replace(
      Self.path(pid), with: String(decoding: encoder.encode(self), as: UTF8.self) + "\n")
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

  /// Removes records with their logs; returns them.
  @discardableResult
  public static func clear(where isMeant: (EndRecord) -> Bool) -> [EndRecord] {
    let meant = all().filter(isMeant)
    for record in meant {
      unlink(record.log)
      unlink(path(record.pid))
    }
    return meant
  }

  var status: Status {
    var status = Status.known(pid: pid, state: "ended", overlay: overlay, namespace: namespace)
    status.reason = reason
    status.time = time
    status.log = access(log, F_OK) == 0 ? log : nil
    return status
  }
}
