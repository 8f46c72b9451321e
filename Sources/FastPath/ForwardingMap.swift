// SPDX-License-Identifier: Apache-2.0
import CBPFObjects
import LinuxSystem
import SystemPackage

/// Map `fdb` as one thread writes it while programs read (bpf/abi/culvert.h): a cuckoo hash table of buckets of
/// four, at most half full.
final class ForwardingMap {
  let view: ForwardingMapView
  private let capacity: Int
  private(set) var count = 0

  /// As many buckets as leave half of the places free; in small tables more, as chance rules there.
  static func buckets(for capacity: UInt32) -> UInt32 { max(16, capacity / 2 + 1) }

  init(_ view: ForwardingMapView, capacity: UInt32) {
    self.view = view
    self.capacity = Int(capacity)
  }

  /// Fails when the table holds all that it was made for.
  func set(_ nexthop: UInt32, for key: UInt64) throws(Failure) {
    if let place = view.find(key) {
      place.change(nexthop: nexthop)
      return
    }
    guard count < capacity, let place = room(for: key) else {
      throw Failure(
        "update BPF map", "fdb", errno: .argListTooLong, advice: "It holds \(capacity) entries at most.")
    }
    place.write(nexthop: nexthop, refreshed: 0, key: key)
    count += 1
  }

  /// False when there was no such entry.
  @discardableResult
  func remove(_ key: UInt64) -> Bool {
    guard let place = view.find(key) else { return false }
    place.free()
    count -= 1
    return true
  }

  /// Moves that are tried in a row for one entry. Where half of the places are free, one is nearly always enough.
  private static let moves = 4

  private func room(for key: UInt64) -> ForwardingPlace? {
    let (first, second) = view.buckets(of: key)
    return free(in: first) ?? free(in: second) ?? makeRoom(in: first, Self.moves)
      ?? makeRoom(in: second, Self.moves)
  }

  private func free(in bucket: Int) -> ForwardingPlace? {
    view.places(in: bucket).first { $0.isFree }
  }

  /// Moves one of the bucket's entries to its other bucket. A reader that looks there before and here after finds
  /// it nowhere: that frame is the kernel's.
  private func makeRoom(in bucket: Int, _ moves: Int) -> ForwardingPlace? {
    guard moves > 0 else { return nil }
    for deep in [false, true] {
      for place in view.places(in: bucket) {
        let key = place.key
        guard key != 0 else { return place }
        let (first, second) = view.buckets(of: key)
        let other = first == bucket ? second : first
        guard other != bucket, let target = free(in: other) ?? (deep ? makeRoom(in: other, moves - 1) : nil)
        else { continue }
        // The deeper moves may have come by here.
        guard place.key == key else { return place.isFree ? place : nil }
        target.write(nexthop: place.nexthop, refreshed: place.refreshed, key: key)
        place.free()
        return place
      }
    }
    return nil
  }
}
