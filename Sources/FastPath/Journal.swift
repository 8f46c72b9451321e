// SPDX-License-Identifier: Apache-2.0
import Foundation
import LinuxSystem
import Netlink

/// What the fast path changed on devices that are not its own, written before
/// the first change, so that the next `up` or `down` can undo it after a crash.
struct Journal: Codable, Equatable {
  /// Offload features of one veth's other end, as they were.
  struct Change: Codable, Equatable {
    /// The bridge's port or the uplink, and the namespace it is in.
    var portNamespaceInode: UInt64
    var portIndex: Int32
    var portName: String
    var portMAC: String
    /// The other end, in its own namespace.
    var peerIndex: Int32
    var peerName: String
    var peerNamespaceInode: UInt64
    var features: [String: Bool]
  }
  var changes: [Change] = []

  static func read(_ directory: RuntimeDirectory) -> Journal? {
    guard let data = FileManager.default.contents(atPath: directory.journalPath) else { return nil }
    return try? JSONDecoder().decode(Journal.self, from: data)
  }

  func save(_ directory: RuntimeDirectory) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .prettyPrinted]
    try directory.write(encoder.encode(self), to: directory.journalPath)
  }
}

extension Journal {
  /// What is in force, a line a change.
  var summary: [String] {
    changes.map { change in
      let settings = change.features.sorted { $0.key < $1.key }
        .map { "\($0.key) \($0.value ? "off" : "on")" }.joined(separator: ", ")
      return "\(change.portName)'s other end \(change.peerName): \(settings)"
    }
  }

  /// Undoes the changes; says what it did, and what is still owed because it failed. A
  /// container that is gone took its settings along, and a port that is another device
  /// now is left alone.
  func restore() -> (lines: [String], owed: Journal) {
    var lines: [String] = []
    var owed = Journal()
    for change in changes {
      let settings = change.features.sorted { $0.key < $1.key }
        .map { "\($0.key) \($0.value ? "on" : "off")" }.joined(separator: ", ")
      do {
        guard try change.undo() else { continue }
        lines.append("\(change.portName): restored \(change.peerName) at its other end: \(settings)")
      } catch {
        owed.changes.append(change)
        lines.append("\(change.portName): could not restore \(change.peerName) (\(settings)): \(error)")
      }
    }
    return (lines, owed)
  }
}

extension Journal.Change {
  /// False where there is nothing left to undo.
  fileprivate func undo() throws -> Bool {
    guard try NetworkNamespace.current().identity.inode != portNamespaceInode else { return try undoHere() }
    guard let namespace = NamespaceSearch.find(inode: portNamespaceInode) else { return false }
    return try namespace.run { try undoHere() }
  }

  private func undoHere() throws -> Bool {
    let links = try RouteConnection().links()
    guard let port = links.first(where: { $0.index == portIndex }),
      port.mac?.description ?? "" == portMAC
    else { return false }
    try VethEnd.find(of: port).set(features)
    return true
  }
}
