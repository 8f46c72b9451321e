// SPDX-License-Identifier: Apache-2.0
import Glibc
import LinuxSystem
import Synchronization
import TestSupport

/// Numbered datagrams, one about every millisecond, from one container to another: which of them arrive.
final class Stream: @unchecked Sendable {
  private static let port: UInt16 = 4100
  private let isOver = Atomic(false)
  /// Nothing is sent any more.
  private let isSent = Atomic(false)
  private let sent = Atomic<UInt64>(0)
  private let arrived = Mutex<Set<UInt64>>([])
  private var threads: [DedicatedThread] = []

  init(from one: TestOverlay.Container, to other: TestOverlay.Container) throws {
    let source = Box(try one.node.open { try PacketSocket(interface: "eth0") })
    let sink = Box(try other.node.open { try PacketSocket(interface: "eth0") })
    nonisolated(unsafe) let (out, into) = (source, sink)
    var template = TestPacket(
      .udp4, from: one.number, source: one.mac, to: other.number, destination: other.mac)
    template.sourcePort = Self.port
    let packet = template
    threads.append(
      try DedicatedThread { [self] in
        var packet = packet
        while !isOver.load(ordering: .acquiring) {
          let number = sent.load(ordering: .relaxed)
          packet.payload = (0..<8).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) }
          guard (try? out.value.send(packet.bytes)) != nil else { continue }
          sent.store(number + 1, ordering: .releasing)
          usleep(1000)
        }
      })
    let head = packet.bytes.prefix(14) + [0x45]
    threads.append(
      try DedicatedThread { [self] in
        // All that was sent, or nothing more comes for half a second.
        var last = Clock.monotonicNanoseconds
        while true {
          let over = isSent.load(ordering: .acquiring)
          let count = arrived.withLock { UInt64($0.count) }
          if over && count == sent.load(ordering: .acquiring) { return }
          let frame = into.value.receive(milliseconds: 20) {
            $0.starts(with: head) && $0.count == 50 && Array($0[34..<36]) == be(Self.port)
          }
          guard let frame else {
            if over && Clock.monotonicNanoseconds - last > 500_000_000 { return }
            continue
          }
          last = Clock.monotonicNanoseconds
          let number = (0..<8).reduce(UInt64(0)) { $0 | UInt64(frame[42 + $1]) << (8 * UInt64($1)) }
          arrived.withLock { _ = $0.insert(number) }
        }
      })
  }

  /// Waits until so many more were sent. False where none can be.
  @discardableResult
  func pass(_ count: UInt64) -> Bool {
    let goal = sent.load(ordering: .acquiring) + count
    for _ in 0..<20_000 {
      if sent.load(ordering: .acquiring) >= goal { return true }
      usleep(1000)
    }
    return false
  }

  /// Waits until one arrives that is sent from now on; its number.
  func next() -> UInt64? {
    let from = sent.load(ordering: .acquiring)
    for _ in 0..<20_000 {
      if let first = arrived.withLock({ $0.filter { $0 >= from }.min() }) { return first }
      usleep(1000)
    }
    return nil
  }

  /// Ends it. Numbers of those that did not arrive.
  func finish() -> (sent: UInt64, lost: [UInt64]) {
    isOver.store(true, ordering: .releasing)
    threads[0].join()
    isSent.store(true, ordering: .releasing)
    threads[1].join()
    let count = sent.load(ordering: .acquiring)
    return arrived.withLock { arrived in (count, (0..<count).filter { !arrived.contains($0) }) }
  }
}
