// SPDX-License-Identifier: Apache-2.0
import CLinuxSystem
import LinuxSystem

/// What the calling thread executed, in the kernel too: instructions and cycles, where the CPU counts them. Most
/// virtual machines have no such counters.
final class HardwareCounters {
  struct Counts: Equatable {
    var instructions: UInt64
    var cycles: UInt64
  }

  /// A kind of event and which of it (perf_event_open(2)).
  struct Event {
    var type: UInt32
    var number: UInt64
    static let instructions = Event(type: 0, number: 1)
    static let cycles = Event(type: 0, number: 0)
  }

  private let leader: OwnedDescriptor
  private let follower: OwnedDescriptor

  /// nil where there are none.
  init?(_ first: Event = .instructions, _ second: Event = .cycles) {
    let leader = culvert_count(first.type, first.number, -1)
    guard leader >= 0 else { return nil }
    self.leader = OwnedDescriptor(adopting: leader)
    let follower = culvert_count(second.type, second.number, leader)
    guard follower >= 0 else { return nil }
    self.follower = OwnedDescriptor(adopting: follower)
  }

  /// Since the counters were made; nil where the CPU gave them to others for a while.
  func read() -> Counts? {
    var values: [UInt64] = [0, 0]
    guard culvert_counts(leader.raw, &values, 2) == 2 else { return nil }
    return Counts(instructions: values[0], cycles: values[1])
  }
}
