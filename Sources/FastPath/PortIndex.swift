// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import CBPFObjects
import LinuxSystem

/// Map `port_by_ifindex` of one program: which slot the port of an interface has. Interfaces of several namespaces, or
/// whose numbers are far apart, may need one place, which the first has.
final class PortIndex {
  private let map: BPFMap<UInt32, UInt32>
  /// By place.
  private var slots: [UInt32: UInt32] = [:]

  init(_ object: borrowing BPFObject) throws { map = try object.map("port_by_ifindex") }

  var isEmpty: Bool { slots.isEmpty }

  func hasPlace(for index: Int32) -> Bool { slots[culvert_port_place(UInt32(index))] == nil }

  func set(_ index: Int32, slot: UInt32) throws {
    guard hasPlace(for: index) else {
      throw Failure(
        "attach to", "interface \(index)",
        advice: "Another port has its place in the index of ports (numbers \(CULVERT_PORT_PLACES) apart share one).")
    }
    let place = culvert_port_place(UInt32(index))
    try map.update(place, slot)
    slots[place] = slot
  }

  func remove(slot: UInt32) {
    guard let place = slots.first(where: { $0.value == slot })?.key else { return }
    slots[place] = nil
    try? map.update(place, UInt32(CULVERT_NO_PORT))
  }
}
