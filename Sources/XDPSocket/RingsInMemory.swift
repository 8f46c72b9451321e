// SPDX-License-Identifier: Apache-2.0
import CLinuxSystem
import LinuxSystem
import Synchronization

/// A socket's four rings without a kernel: for measuring what user space pays to move descriptors. Its counterpart does
/// no more than say that it is done: one index per ring and burst.
public final class RingsInMemory {
  private var receive: ConsumerRing<xdp_desc>
  private var transmit: ProducerRing<xdp_desc>
  private var fill: ProducerRing<UInt64>
  private var completion: ConsumerRing<UInt64>

  private static let size: UInt32 = 2048
  private static let frameBytes: UInt64 = 2048

  public init() throws(Failure) {
    receive = ConsumerRing(try Self.memory())
    transmit = ProducerRing(try Self.memory())
    fill = ProducerRing(try Self.memory())
    completion = ConsumerRing(try Self.memory())
    for place in 0..<Int(Self.size) {
      let address = UInt64(place) * Self.frameBytes
      receive.memory.entries[place] = xdp_desc(addr: address, len: 64, options: 0)
      completion.memory.entries[place] = address
    }
  }

  /// As the kernel lays rings out: each index on a line of its own, the entries behind.
  private static func memory<Entry: BitwiseCopyable>() throws(Failure) -> RingMemory<Entry> {
    let offsets = xdp_ring_offset(producer: 0, consumer: 64, desc: 192, flags: 128)
    let bytes = Int(offsets.desc) + Int(size) * MemoryLayout<Entry>.stride
    return RingMemory(try Mapping(anonymous: bytes), offsets, size: size)
  }

  /// Receives a burst, offers as many frames anew, transmits the burst and takes it back; `turns` times. Returns
  /// something that depends on all it did.
  public func run(burst: UInt32, turns: Int) -> UInt64 {
    var seen: UInt64 = 0
    for _ in 0..<turns {
      advance(receive.memory.producer, burst)
      let count = receive.available(atMost: burst)
      if transmit.free(wanted: count) < count || fill.free(wanted: count) < count { return 0 }
      for place in 0..<count {
        let received = receive[place]
        seen &+= received.addr
        transmit.append(received)
        fill.append(received.addr)
      }
      receive.release(count)
      fill.submit()
      transmit.submit()
      if transmit.needsWakeup || fill.needsWakeup { return 0 }
      advance(transmit.memory.consumer, count)
      advance(fill.memory.consumer, count)
      advance(completion.memory.producer, count)
      let done = completion.available(atMost: burst)
      for place in 0..<done { seen &+= completion[place] }
      completion.release(done)
    }
    return seen
  }

  @inline(__always)
  private func advance(_ index: UnsafeMutablePointer<Atomic<UInt32>>, _ count: UInt32) {
    index.pointee.store(index.pointee.load(ordering: .relaxed) &+ count, ordering: .releasing)
  }
}
