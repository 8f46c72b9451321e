// SPDX-License-Identifier: Apache-2.0
import CBPFObjects
import CLinuxSystem
import LinuxSystem
import Synchronization
import SystemPackage

/// The workers' signs of life, in memory that the programs see (map `pulses`): a program hands nothing over to a worker
/// that has stopped.
public final class Pulses: @unchecked Sendable {
  private let mapping: Mapping
  private let count: Int

  /// - Parameter array: the map's descriptor; it has an entry for each worker.
  public init(array: borrowing OwnedDescriptor, workers: Int) throws(Failure) {
    mapping = try Mapping(of: array.raw, offset: 0, byteCount: workers * MemoryLayout<culvert_pulse>.stride)
    count = workers
  }

  /// Marks the calling thread as the worker: the programs see it when that ends.
  func begin(_ worker: Int) throws(Failure) {
    precondition(worker < count)
    let place = worker * MemoryLayout<culvert_pulse>.stride + MemoryLayout<culvert_pulse>.offset(of: \.life)!
    let status = culvert_hold_until_death(mapping.address + place)
    guard status == 0 else {
      throw Failure("take", "the mutex of worker \(worker)", errno: Errno(rawValue: -status))
    }
  }

  /// The worker's turns.
  func turns(_ worker: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
    precondition(worker < count)
    return (mapping.address + worker * MemoryLayout<culvert_pulse>.stride)
      .assumingMemoryBound(to: Atomic<UInt64>.self)
  }
}
