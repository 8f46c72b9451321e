// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import Netlink

/// A session's journal, and its copy on disk, which is written before what it says is done.
final class JournalFile {
  let directory: RuntimeDirectory
  private(set) var journal = Journal()

  init(_ directory: RuntimeDirectory) { self.directory = directory }

  /// Restores what a dead predecessor left, and takes over what could not be.
  func takeOver(_ report: (String) -> Void) throws {
    guard let stale = Journal.read(directory) else { return }
    let outcome = stale.restore()
    for line in outcome.lines { report(line) }
    journal = outcome.owed
    try journal.save(directory)
  }

  // MARK: - Filters of tc

  func add(_ filter: Journal.Filter) throws {
    journal.filters = (journal.filters ?? []).filter { $0 != filter } + [filter]
    try journal.save(directory)
  }

  func remove(_ filter: Journal.Filter) {
    journal.filters = (journal.filters ?? []).filter { $0 != filter }
    try? journal.save(directory)
  }

  // MARK: - The veth pair between two namespaces

  func add(_ relay: Journal.Relay) throws {
    journal.relays = (journal.relays ?? []).filter { $0 != relay } + [relay]
    try journal.save(directory)
  }

  func remove(_ relay: Journal.Relay) {
    journal.relays = (journal.relays ?? []).filter { $0 != relay }
    try? journal.save(directory)
  }

  // MARK: - The veth peers that frames come from and go to

  /// Sets a veth peer up for raw frames. Returns what was changed, for people.
  func prepare(_ peer: VethPeer, of link: Link, in namespace: NetworkNamespace.Identity) throws -> String {
    let before = try peer.differing()
    guard !before.isEmpty else { return "" }
    let change = Journal.Change(
      portNamespaceInode: namespace.inode, portIndex: link.index, portName: link.name,
      portMAC: link.mac?.description ?? "", peerIndex: peer.index, peerName: peer.name,
      peerNamespaceInode: peer.namespace.identity.inode,
      portNamespaceCookie: NamespaceReference.currentCookie(), peerNamespaceCookie: peer.namespace.cookie,
      features: before)
    journal.changes.removeAll { change.isSamePort(as: $0) }
    journal.changes.append(change)
    try journal.save(directory)
    try peer.set(before.mapValues { !$0 })
    return before.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value ? "off" : "on")" }.joined(
      separator: ", ")
  }

  /// Restores what was changed for a port. Returns what was done, a line each.
  @discardableResult
  func undo(_ device: Device) -> [String] {
    let mine = journal.changes.filter { $0.isOf(device) }
    guard !mine.isEmpty else { return [] }
    let outcome = Journal(changes: mine).restore()
    journal.changes.removeAll { $0.isOf(device) }
    journal.changes += outcome.owed.changes
    try? journal.save(directory)
    return outcome.lines
  }

  /// Another session answers for the device from now on; in between, both do.
  func move(_ device: Device, to other: JournalFile) throws {
    let moved = journal.changes.filter { $0.isOf(device) }
    guard !moved.isEmpty else { return }
    other.journal.changes += moved
    try other.journal.save(other.directory)
    journal.changes.removeAll { $0.isOf(device) }
    try journal.save(directory)
  }

  /// Restores everything; what could not be stays on disk.
  func restore() -> [String] {
    let outcome = journal.restore()
    journal = outcome.owed
    return outcome.lines
  }
}

extension Journal.Change {
  fileprivate func isSamePort(as other: Journal.Change) -> Bool {
    portIndex == other.portIndex && portNamespaceInode == other.portNamespaceInode
  }
  fileprivate func isOf(_ device: Device) -> Bool {
    portIndex == device.index && portNamespaceInode == device.namespace.inode
  }
}
