// SPDX-License-Identifier: Apache-2.0
import BPFLoader
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
    /// SO_NETNS_COOKIE, which tells a namespace from one that got its inode later. Absent in journals of versions without,
    /// and before Linux 5.14.
    var portNamespaceCookie: UInt64?
    var peerNamespaceCookie: UInt64?
    var features: [String: Bool]
  }
  var changes: [Change] = []

  /// A filter of tc, on kernels where one outlives its process.
  struct Filter: Codable, Equatable {
    var namespaceInode: UInt64
    var index: Int32
    var name: String
    var mac: String
    var madeClsact: Bool
    /// Absent in journals of versions without.
    var handle: UInt32?
    var namespaceCookie: UInt64?
  }
  /// Absent in journals of versions without.
  var filters: [Filter]?

  /// Absent in journals of versions without.
  var relays: [Relay]?

  var isEmpty: Bool { changes.isEmpty && (filters ?? []).isEmpty && (relays ?? []).isEmpty }

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
  /// What is in force, a line a setting.
  var summary: [String] {
    (filters ?? []).map { "\($0.name): a tc filter that does nothing by itself" }
      + (relays ?? []).map { "\($0.name): a veth pair of Culvert's own" }
      + changes.flatMap { change in
        change.features.sorted { $0.key < $1.key }.map {
          "\(change.peerName), veth peer of \(change.portName), \(change.place): \($0.key) "
            + ($0.value ? "off (was on)" : "on (was off)")
        }
      }
  }

  /// Undoes the changes; says what it did, and what is still owed because it failed. A
  /// container that is gone took its settings along, and a port that is another device
  /// now is left alone.
  func restore() -> (lines: [String], owed: Journal) {
    var lines: [String] = []
    var owed = Journal()
    for filter in filters ?? [] {
      do {
        guard try filter.undo() else { continue }
        lines.append("\(filter.name): removed the tc filter")
      } catch {
        owed.filters = (owed.filters ?? []) + [filter]
        lines.append("\(filter.name): could not remove the tc filter: \(error)")
      }
    }
    for relay in relays ?? [] {
      do {
        guard try relay.undo() else { continue }
        lines.append("\(relay.name): removed the veth pair")
      } catch {
        owed.relays = (owed.relays ?? []) + [relay]
        lines.append("\(relay.name): could not remove the veth pair: \(error)")
      }
    }
    for change in changes {
      let settings = change.features.sorted { $0.key < $1.key }
        .map { "\($0.key) \($0.value ? "on" : "off")" }.joined(separator: ", ")
      do {
        guard try change.undo() else { continue }
        lines.append("\(change.portName): restored its veth peer \(change.peerName), \(change.place): \(settings)")
      } catch {
        owed.changes.append(change)
        lines.append("\(change.portName): could not restore \(change.peerName) (\(settings)): \(error)")
      }
    }
    return (lines, owed)
  }
}

extension Journal.Filter {
  /// False where there is nothing left to undo.
  func undo() throws -> Bool {
    guard try NetworkNamespace.current().identity.inode != namespaceInode else { return try undoHere() }
    guard let namespace = NamespaceSearch.find(inode: namespaceInode) else { return false }
    return try namespace.run { try undoHere() }
  }

  private func undoHere() throws -> Bool {
    let links = try RouteConnection().links()
    guard let link = links.first(where: { $0.index == index }),
      namespaceCookie.map({ $0 == NamespaceReference.currentCookie() })
        ?? (link.mac?.description ?? "" == mac)
    else { return false }
    let handle = handle ?? TCFilter.handle
    try TCFilter.remove(handle: handle, from: index, withClsact: false)
    // Others may use clsact by now.
    let isUsed = try RouteConnection().trafficFilters().contains { $0.link == index && $0.handle != handle }
    if madeClsact, !isUsed { try TCFilter.remove(handle: handle, from: index, withClsact: true) }
    return true
  }
}

extension Journal.Change {
  /// Where the peer is, for people.
  fileprivate var place: String {
    NamespaceSearch.name(inode: peerNamespaceInode).map { "in \($0)" } ?? "in namespace \(peerNamespaceInode)"
  }

  /// False where there is nothing left to undo. Names and addresses change; an index of a namespace is not given twice,
  /// and either end of the veth leads to the other.
  fileprivate func undo() throws -> Bool {
    if let done = try inNamespace(peerNamespaceInode, peerNamespaceCookie, { try undoAtPeer() }), done {
      return true
    }
    return try inNamespace(portNamespaceInode, portNamespaceCookie) { try undoFromPort() } ?? false
  }

  private func undoAtPeer() throws -> Bool {
    guard
      let link = try RouteConnection().links().first(where: { $0.index == peerIndex && $0.kind == "veth" }),
      peerNamespaceCookie != nil || link.name == peerName
    else { return false }
    try Ethtool().setFeatures(of: link.name, features)
    return true
  }

  private func undoFromPort() throws -> Bool {
    guard
      let port = try RouteConnection().links().first(where: { $0.index == portIndex && $0.kind == "veth" }),
      portNamespaceCookie != nil || port.mac?.description ?? "" == portMAC
    else { return false }
    return try VethPeer.find(of: port).set(features)
  }

  /// nil where the namespace is gone.
  private func inNamespace<T>(_ inode: UInt64, _ cookie: UInt64?, _ body: () throws -> T) throws -> T? {
    func checked() throws -> T? {
      guard cookie == nil || NamespaceReference.currentCookie() == cookie else { return nil }
      return try body()
    }
    guard try NetworkNamespace.current().identity.inode != inode else { return try checked() }
    return try NamespaceSearch.find(inode: inode)?.run { try checked() } ?? nil
  }
}
