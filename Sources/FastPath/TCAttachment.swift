// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import LinuxSystem
import Netlink

/// A program at the tc ingress of a device: by a tcx link, or on a kernel without by a filter of clsact, which holds the
/// program's stub and is in the journal while it is there. Ends by `detach`.
struct TCAttachment {
  private var link: Box<TCXLink>?
  private var filter: Journal.Filter?
  private var journal: JournalFile

  /// Attaches the program, or where it has one its stub. Runs in the device's namespace.
  init(_ program: RoleProgram, to link: Link, _ journal: JournalFile) throws {
    self.journal = journal
    guard let stub = program.stub else {
      self.link = Box(try TCXLink(attaching: program.program, to: UInt32(link.index), interface: link.name))
      return
    }
    let filter = try Self.filter(on: link, of: journal.directory)
    try journal.add(filter)
    self.filter = filter
    do { try TCFilter.add(stub.value, handle: filter.handle!, to: link.index, interface: link.name) } catch {
      detach()
      throw error
    }
  }

  private static func filter(on link: Link, of directory: RuntimeDirectory) throws -> Journal.Filter {
    let route = try RouteConnection()
    let others = try route.trafficFilters().filter { $0.link == link.index }
    // What only filters of ours use was made by one of us, and goes with the last.
    let isOurs = !others.isEmpty && others.allSatisfy { $0.priority == TCFilter.priority }
    // On an uplink that several processes share, each has its own filter.
    let bridge = UInt64(directory.bridgeIndex ?? 0) << 16
    let handle = 0xc000_0000 | UInt32(((directory.namespaceInode ?? 0) ^ bridge) & 0x3fff_ffff)
    return Journal.Filter(
      namespaceInode: try NetworkNamespace.current().identity.inode, index: link.index, name: link.name,
      mac: link.mac?.description ?? "",
      madeClsact: try isOurs || route.ingressDisciplines()[link.index] == nil,
      handle: handle, namespaceCookie: NamespaceReference.currentCookie())
  }

  /// Another session answers for the filter from now on.
  mutating func move(to other: JournalFile) throws {
    if let filter {
      try other.add(filter)
      journal.remove(filter)
    }
    journal = other
  }

  mutating func detach() {
    link = nil
    // What cannot be removed stays in the journal.
    if let filter, (try? filter.undo()) != nil { journal.remove(filter) }
    filter = nil
  }
}
