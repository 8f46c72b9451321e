// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import LinuxSystem
import Netlink

/// A loaded program. Where a filter is to hold it: with a stub, which calls the program through a map that this process
/// holds.
final class RoleProgram {
  let program: BPFProgram
  let stub: Box<BPFProgram>?
  private let attached: Box<BPFMap<UInt32, Int32>>?

  init(_ object: borrowing BPFObject, _ name: String, stub stubName: String?) throws {
    program = try object.program(name)
    guard let stubName else {
      stub = nil
      attached = nil
      return
    }
    stub = Box(try object.program(stubName))
    let map = Box<BPFMap<UInt32, Int32>>(try object.map("attached"))
    attached = map
    try map.value.update(0, program.descriptor.raw)
  }
}

/// The programs of a family by what they are attached to. The ports of all overlays share one, as far as each has its
/// own place in the program's index: the verifier takes some 0.2 s for each that is loaded. Each uplink has its own.
struct RolePrograms {
  private let tables: BPFTables
  private let suffix: String
  private let hasStubs: Bool
  private var groups: [Group] = []
  private var groupsLoaded: UInt32 = 0
  private var uplinks: [UInt32: RoleProgram] = [:]

  private struct Group {
    let program: RoleProgram
    let index: PortIndex
  }

  /// - Parameter suffix: behind the programs' names.
  init(_ tables: BPFTables, suffix: String = "", hasStubs: Bool = false) {
    self.tables = tables
    self.suffix = suffix
    self.hasStubs = hasStubs
  }

  /// The kernel's ids.
  var ids: Set<UInt32> { Set((groups.map(\.program) + uplinks.values).map { $0.program.id }) }

  /// What the role's devices are to run, as far as it is known before they are.
  mutating func load(_ role: PortRole, slot: UInt32) throws {
    switch role {
    case .workload: if groups.isEmpty { groups.append(try loadGroup()) }
    case .uplink:
      if uplinks[slot] == nil { uplinks[slot] = try load("uplink", uplink: slot).program }
    }
  }

  mutating func forget(_ role: PortRole, slot: UInt32) {
    switch role {
    case .workload: groups = groups.prefix(1) + groups.dropFirst().filter { !$0.index.isEmpty }
    case .uplink: uplinks[slot] = nil
    }
  }

  /// What the device is to run, and of a container's port the index that it is to be found by.
  mutating func program(_ role: PortRole, _ link: Link, slot: UInt32) throws -> (RoleProgram, PortIndex?) {
    guard role != .uplink else { return (uplinks[slot]!, nil) }
    if let group = groups.first(where: { $0.index.hasPlace(for: link.index) }) {
      return (group.program, group.index)
    }
    let group = try loadGroup()
    groups.append(group)
    return (group.program, group.index)
  }

  /// The first has the index that the tables have anyway.
  private mutating func loadGroup() throws -> Group {
    let isFirst = groups.isEmpty
    let (program, index) = try load("port", group: groupsLoaded, own: isFirst ? [] : ["port_by_ifindex"])
    groupsLoaded += 1
    return Group(program: program, index: isFirst ? tables.portIndex : index)
  }

  private func load(
    _ name: String, group: UInt32 = 0, uplink: UInt32 = 0, own: Set<String> = []
  ) throws -> (program: RoleProgram, index: PortIndex) {
    let (program, stub) = ("culvert_\(name)\(suffix)", hasStubs ? "culvert_stub_\(name)" : nil)
    let object = try tables.load(
      [program] + (stub.map { [$0] } ?? []), group: group, uplink: uplink,
      own: own.union(hasStubs ? ["attached"] : []))
    return (try RoleProgram(object, program, stub: stub), try PortIndex(object))
  }
}
