// SPDX-License-Identifier: Apache-2.0
import CBPFObjects
import Synchronization

/// The tunnels that the forwarder encapsulates into, as a snapshot that is swapped without a lock: the worker
/// reads one pointer per turn; a replaced snapshot is freed when the worker can no longer hold it. A slot that nothing
/// names yet is written into the snapshot that the worker has, so that what names it may follow at once.
public final class TunnelTable: @unchecked Sendable {
  struct Snapshot {
    var count: Int
    var tunnels: UnsafeMutablePointer<culvert_tunnel>
  }

  private let current: Atomic<UnsafeMutableRawPointer>
  /// Odd while the worker may hold a snapshot; it grows with each turn.
  private let turn = Atomic<UInt64>(0)
  // What follows belongs to the one thread that changes the table.
  private var tunnels: [culvert_tunnel] = []
  /// Whether anything may name the slot.
  private var isNamed: [Bool] = []
  private var isChanged = false
  private var retired: [(snapshot: UnsafeMutableRawPointer, turn: UInt64)] = []

  public init() { current = Atomic(Self.copy([])) }

  deinit {
    for old in retired { Self.free(old.snapshot) }
    Self.free(current.load(ordering: .relaxed))
  }

  // MARK: - The thread that changes it

  /// A slot's tunnel. A new one is in force at once, a change of one in use with the next `publish`.
  public func set(_ slot: Int, _ tunnel: culvert_tunnel) {
    if slot >= tunnels.count {
      let count = max(16, 2 * tunnels.count, slot + 1)
      tunnels += Array(repeating: culvert_tunnel(), count: count - tunnels.count)
      isNamed += Array(repeating: false, count: count - isNamed.count)
      isChanged = true
    }
    tunnels[slot] = tunnel
    if isNamed[slot] {
      isChanged = true
    } else if isChanged {
      publish()
    } else {
      current.load(ordering: .relaxed).load(as: Snapshot.self).tunnels[slot] = tunnel
    }
    isNamed[slot] = true
  }

  /// Nothing names the slot any more. What is on its way to the worker is still sent by it, so it stays until another
  /// takes the slot.
  public func clear(_ slot: Int) { if slot < isNamed.count { isNamed[slot] = false } }

  /// Shows every change since the last call to the worker. O(tunnels).
  public func publish() {
    if isChanged {
      isChanged = false
      let old = current.exchange(Self.copy(tunnels), ordering: .sequentiallyConsistent)
      retired.append((old, turn.load(ordering: .sequentiallyConsistent)))
    }
    let now = turn.load(ordering: .sequentiallyConsistent)
    retired.removeAll { old in
      let isFree = old.turn & 1 == 0 || now != old.turn
      if isFree { Self.free(old.snapshot) }
      return isFree
    }
  }

  /// Snapshots not yet freed, for tests.
  var retiredCount: Int { retired.count }

  // MARK: - The worker

  /// Begins a turn; the snapshot is good until `endTurn` or the next `beginTurn`.
  @inline(__always)
  func beginTurn() -> Snapshot {
    let now = turn.load(ordering: .relaxed)
    // Odd stays odd: a turn that follows a turn.
    turn.store(now &+ (now & 1 == 0 ? 1 : 2), ordering: .sequentiallyConsistent)
    return current.load(ordering: .sequentiallyConsistent).load(as: Snapshot.self)
  }

  /// Before the worker sleeps.
  @inline(__always)
  func endTurn() { turn.store((turn.load(ordering: .relaxed) | 1) &+ 1, ordering: .sequentiallyConsistent) }

  // MARK: - One allocation per snapshot

  private static let header = MemoryLayout<culvert_tunnel>.stride

  private static func copy(_ tunnels: [culvert_tunnel]) -> UnsafeMutableRawPointer {
    let memory = UnsafeMutableRawPointer.allocate(
      byteCount: header + tunnels.count * MemoryLayout<culvert_tunnel>.stride, alignment: 64)
    let entries = (memory + header).bindMemory(to: culvert_tunnel.self, capacity: tunnels.count)
    for (index, tunnel) in tunnels.enumerated() { (entries + index).initialize(to: tunnel) }
    memory.storeBytes(of: Snapshot(count: tunnels.count, tunnels: entries), as: Snapshot.self)
    return memory
  }

  private static func free(_ memory: UnsafeMutableRawPointer) { memory.deallocate() }
}
