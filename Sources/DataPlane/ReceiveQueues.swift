// SPDX-License-Identifier: Apache-2.0
import CBPFObjects
import LinuxSystem
import Synchronization

/// What programs and workers know of each receive queue (struct culvert_rx_queue), in memory that both see: a program
/// forwards few packets by itself, once the queue's worker says that it is done with those that it was handed.
public final class ReceiveQueues: @unchecked Sendable {
  private let mapping: Mapping
  private let count: Int

  /// - Parameters:
  ///   - array: the map's descriptor.
  ///   - count: of its entries.
  public init(array: borrowing OwnedDescriptor, count: Int) throws(Failure) {
    mapping = try Mapping(of: array.raw, offset: 0, byteCount: count * MemoryLayout<culvert_rx_queue>.stride)
    self.count = count
  }

  private func entry(_ slot: UInt32, _ queue: Int) -> UnsafeMutableRawPointer {
    let place = Int(slot) * Int(CULVERT_QUEUES) + queue
    precondition(queue < Int(CULVERT_QUEUES) && place < count)
    return mapping.address + place * MemoryLayout<culvert_rx_queue>.stride
  }

  /// Before its socket is in use.
  func begin(slot: UInt32, queue: UInt32) -> ReceiveQueue {
    var state = culvert_rx_queue()
    state.is_open = 1
    entry(slot, Int(queue)).storeBytes(of: state, as: culvert_rx_queue.self)
    return ReceiveQueue(entry(slot, Int(queue)))
  }

  /// After its sockets were closed.
  public func end(slot: UInt32) {
    for queue in 0..<Int(CULVERT_QUEUES) {
      entry(slot, queue).storeBytes(of: culvert_rx_queue(), as: culvert_rx_queue.self)
    }
  }

  /// Packets that programs forwarded by themselves since the slot's sockets were opened.
  public func direct(slot: UInt32) -> UInt64 {
    (0..<Int(CULVERT_QUEUES)).reduce(0) { sum, queue in
      sum &+ ReceiveQueue(entry(slot, queue)).direct.pointee.load(ordering: .relaxed)
    }
  }
}

/// One of them.
struct ReceiveQueue {
  /// Written by the program.
  let handed: UnsafeMutablePointer<Atomic<UInt64>>
  let direct: UnsafeMutablePointer<Atomic<UInt64>>
  /// Written by the worker.
  let done: UnsafeMutablePointer<Atomic<UInt64>>
}

extension ReceiveQueue {
  fileprivate init(_ entry: UnsafeMutableRawPointer) {
    func word(_ field: PartialKeyPath<culvert_rx_queue>) -> UnsafeMutablePointer<Atomic<UInt64>> {
      (entry + MemoryLayout<culvert_rx_queue>.offset(of: field)!).assumingMemoryBound(to: Atomic<UInt64>.self)
    }
    self.init(handed: word(\.handed), direct: word(\.direct), done: word(\.done))
  }
}
