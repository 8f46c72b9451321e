// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import CBPFObjects
import LinuxSystem
import TestSupport
import Testing

/// Tier `afxdp`: few packets are forwarded by the program itself, which a worker would have to be woken for.
@Suite(.enabled(if: mayUseKernel, .init(rawValue: needsRoot)))
struct FewPacketsTests {
  private static func run(_ body: (Fixture) throws -> Void) throws {
    try Fixture.run(.afxdp, forwardsFew: true, body)
  }

  private static func set(_ fixture: Fixture, _ change: (inout culvert_rx_queue) -> Void) throws {
    var queue = try fixture.receiveQueue()
    change(&queue)
    try fixture.receiveQueues?.update(UInt32(CULVERT_QUEUES), queue)
  }

  @Test func theProgramForwardsThem() throws {
    try Self.run { fixture in
      _ = try fixture.run(.port, Frames.v4())
      let queue = try fixture.receiveQueue()
      #expect(queue.direct == 1 && queue.handed == 0)
    }
  }

  /// It would be overtaken.
  @Test func aWorkerThatHasOneYetIsHandedTheNext() throws {
    try Self.run { fixture in
      try Self.set(fixture) { $0.handed = 5; $0.done = 4 }
      _ = try fixture.run(.port, Frames.v4())
      #expect(try fixture.receiveQueue().handed == 6)
      #expect(try fixture.direct() == 0)
      try Self.set(fixture) { $0.done = 6 }
      _ = try fixture.run(.port, Frames.v4())
      #expect(try fixture.direct() == 1)
    }
  }

  @Test func manyAreTheWorkersAndSoIsWhatFollows() throws {
    try Self.run { fixture in
      let deadline = Clock.monotonicNanoseconds + 10_000_000_000
      // The jiffy may end between the steps.
      repeat {
        _ = try fixture.run(.port, Frames.v4())
        try Self.set(fixture) { $0.frames = Fixture.few }
        _ = try fixture.run(.port, Frames.v4())
      } while try fixture.receiveQueue().handed == 0 && Clock.monotonicNanoseconds < deadline
      let queue = try fixture.receiveQueue()
      #expect(queue.handed == 1)
      #expect(queue.busy == queue.jiffy + UInt64(CULVERT_BUSY_JIFFIES))
      // The worker is done: it stays its turn until then, however few they are.
      try Self.set(fixture) { $0.done = 1 }
      let direct = try fixture.direct()
      var handed: UInt64 = 1
      while try fixture.direct() == direct {
        _ = try fixture.run(.port, Frames.v4())
        handed = try fixture.receiveQueue().handed
        try Self.set(fixture) { $0.done = handed; $0.frames = 0 }
        try #require(Clock.monotonicNanoseconds < deadline)
      }
      #expect(handed > 1)
      #expect(try fixture.receiveQueue().jiffy >= queue.busy)
    }
  }

  /// What comes by it was the kernel's, and stays so however few packets there are.
  @Test func aQueueWithoutASocketIsTheKernels() throws {
    try Self.run { fixture in
      try Self.set(fixture) { $0.is_open = 0 }
      let sockets: BPFMap<UInt32, Int32> = try fixture.object.map("sockets")
      try sockets.delete(UInt32(CULVERT_QUEUES))
      #expect(try fixture.run(.port, Frames.v4()).action == .pass)
      #expect(try fixture.direct() == 0)
    }
  }

  /// Only user space completes a checksum.
  @Test func unfinishedOnesAreHandedOver() throws {
    try Self.run { fixture in
      try fixture.setPort(1, ifindex: Fixture.lo, flags: CULVERT_PORT_PARTIAL.rawValue)
      _ = try fixture.run(.port, Frames.v4(Frames.tcp()))
      #expect(try fixture.receiveQueue().handed == 1)
    }
  }

  @Test func whatLeavesByADeviceThatTakesNoRedirectIsHandedOver() throws {
    try Self.run { fixture in
      try fixture.devices.delete(0)
      _ = try fixture.run(.port, Frames.v4())
      #expect(try fixture.receiveQueue().handed == 1)
      #expect(try fixture.direct() == 0)
    }
  }
}
