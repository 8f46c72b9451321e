// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import LinuxSystem

/// The programs of a family by what they are attached to: a domain's ports run one, each uplink its own.
struct RolePrograms {
  private var ports: [UInt32: Box<BPFProgram>] = [:]
  private var uplinks: [UInt32: Box<BPFProgram>] = [:]

  /// The kernel's ids.
  var ids: Set<UInt32> { Set((Array(ports.values) + uplinks.values).map { $0.value.id }) }

  mutating func load(_ role: PortRole, slot: UInt32, from tables: BPFTables) throws {
    switch role {
    case .workload(let domain):
      guard ports[domain] == nil else { return }
      ports[domain] = Box(try tables.load(["culvert_port"], domain: domain).program("culvert_port"))
    case .uplink:
      guard uplinks[slot] == nil else { return }
      uplinks[slot] = Box(try tables.load(["culvert_uplink"], uplink: slot).program("culvert_uplink"))
    }
  }

  mutating func forget(_ role: PortRole, slot: UInt32) {
    switch role {
    case .workload(let domain): ports[domain] = nil
    case .uplink: uplinks[slot] = nil
    }
  }

  /// It was loaded.
  func program(_ role: PortRole, slot: UInt32) -> Box<BPFProgram> {
    switch role {
    case .workload(let domain): ports[domain]!
    case .uplink: uplinks[slot]!
    }
  }
}
