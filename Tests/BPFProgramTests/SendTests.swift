// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import CBPFObjects
import Foundation
import LinuxSystem
import TestSupport
import Testing
import XDPSocket

@testable import DataPlane
@testable import FastPath

/// Frames of a worker's memory that leave by redirection.
@Suite(.serialized, .enabled(if: mayUseKernel, .init(rawValue: needsRoot)))
struct SendTests {
  private static let frames = 64

  /// Each 0x88b5 (local experimental EtherType), numbered, and of another octet than the others.
  private static func frame(_ number: Int, bytes: Int) -> [UInt8] {
    [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5]
      + (14..<bytes).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ number) }
  }

  private static func isOurs(_ frame: [UInt8]) -> Bool {
    frame.count >= 14 && frame[12] == 0x88 && frame[13] == 0xb5
  }

  /// In a namespace with a wire na ── nb, where `devices` has na at place 1.
  private func onAWire(
    _ body: (_ outbox: LiveSender.Outbox, _ memory: borrowing FrameMemory, _ far: borrowing PacketSocket)
      throws
      -> Void
  ) throws {
    let namespace = try NetworkNamespace.makeAnonymous()
    try namespace.run {
      try LiveTests.topology()
      for end in ["na", "nb"] { try shell("ip", "link", "set", end, "mtu", "2000") }
      let fixture = try Fixture(.afxdp)
      try fixture.devices.update(1, LiveTests.index("na"))
      let live = try LiveSending(frames: Self.frames, devices: fixture.devices.descriptor.raw)
      let memory = try live.memory(frames: Self.frames)
      let sender = try live.sender()
      let far = try PacketSocket(interface: "nb")
      try body(sender.outbox, memory, far)
      withExtendedLifetime(live) {}
    }
  }

  @Test func arriveInOrderAsTheyLieInMemory() throws {
    try onAWire { outbox, memory, far in
      let calls = WorkCounters()
      // Longer and shorter than the one before, from every place that a header may leave them at.
      let lengths = (0..<48).map { [14, 60, 114, 1664, 1514, 63][$0 % 6] }
      for (number, bytes) in lengths.enumerated() {
        let address = number * LiveSender.frameBytes + [256, 206, 306, 0, 384][number % 5]
        for (at, octet) in Self.frame(number, bytes: bytes).enumerated() {
          memory.base.storeBytes(of: octet, toByteOffset: address + at, as: UInt8.self)
        }
        outbox[number] = culvert_send(address: UInt64(address), bytes: UInt32(bytes), slot: 1)
      }
      let outcome = outbox.send(lengths.count, calls: calls)
      #expect(outcome.done == lengths.count && outcome.refused == 0)
      #expect(calls.read().transmitCalls == 1)
      for (number, bytes) in lengths.enumerated() {
        let got = far.receive { Self.isOurs($0) }
        #expect(got == Self.frame(number, bytes: bytes), "frame \(number)")
      }
    }
  }

  /// What user space lists is never trusted: no byte from elsewhere leaves, and what is refused is told.
  @Test func whatIsNoFrameOfTheMemoryIsRefused() throws {
    try onAWire { outbox, memory, far in
      let good = Self.frame(0, bytes: 60)
      for (at, octet) in good.enumerated() {
        memory.base.storeBytes(of: octet, toByteOffset: 256 + at, as: UInt8.self)
      }
      let limit = UInt32(LiveSender.frameLimit)
      let end = UInt64(Self.frames * LiveSender.frameBytes)
      let listed: [(send: culvert_send, isSent: Bool)] = [
        (culvert_send(address: 256, bytes: 60, slot: 1), true),
        (culvert_send(address: 256, bytes: 13, slot: 1), false),
        (culvert_send(address: 256, bytes: limit + 1, slot: 1), false),
        (culvert_send(address: 256, bytes: .max, slot: 1), false),
        (culvert_send(address: 385, bytes: 60, slot: 1), false),
        (culvert_send(address: end, bytes: 60, slot: 1), false),
        // No device there.
        (culvert_send(address: 256, bytes: 60, slot: 1000), false),
        (culvert_send(address: 256, bytes: 60, slot: 1), true),
      ]
      for (place, one) in listed.enumerated() { outbox[place] = one.send }
      let outcome = outbox.send(listed.count, calls: WorkCounters())
      #expect(outcome.done == listed.count)
      #expect(outcome.refused == listed.count { !$0.isSent })
      for (place, one) in listed.enumerated() {
        #expect((outbox[place].bytes != 0) == one.isSent, "\(place)")
      }
      let arrived = (0..<3).map { far.receive(milliseconds: $0 < 2 ? 1000 : 50) { Self.isOurs($0) } }
      #expect(arrived == [good, good, nil])
    }
  }
}
