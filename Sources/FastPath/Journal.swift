// SPDX-License-Identifier: Apache-2.0
import Foundation
import LinuxSystem
import Netlink

/// What the fast path changed on devices that are not its own, written before
/// the first change, so that the next `up` or `down` can undo it after a crash.
struct Journal: Codable, Equatable {
  /// Offload features of one container's end, as they were.
  struct Change: Codable, Equatable {
    /// The bridge's port, in the overlay's namespace.
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
      return "\(change.portName)'s container end \(change.peerName): \(settings)"
    }
  }

  /// Undoes the changes, in the overlay's namespace; says what it did. A container
  /// that is gone took its settings along, and a port that is another device now
  /// is left alone.
  func restore() -> [String] {
    changes.compactMap { change in
      let settings = change.features.sorted { $0.key < $1.key }
        .map { "\($0.key) \($0.value ? "on" : "off")" }.joined(separator: ", ")
      do {
        let connection = try RouteConnection()
        guard let port = try connection.links().first(where: { $0.index == change.portIndex }), port.name == change.portName,
          port.mac?.description ?? "" == change.portMAC
        else { return nil }
        let end = try ContainerEnd.find(of: port)
        try end.set(change.features)
        return "\(change.portName): restored \(end.name) in its container: \(settings)"
      } catch {
        return "\(change.portName): could not restore \(change.peerName) (\(settings)): \(error)"
      }
    }
  }
}
