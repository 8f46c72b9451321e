// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import CBPFObjects
import Dispatch
import LinuxSystem
import TestSupport
import Testing

@testable import DataPlane

/// Tier `afxdp`: what a worker would not look at is the kernel's.
@Suite(.enabled(if: mayUseKernel, .init(rawValue: needsRoot)))
struct StalledWorkerTests {
  private struct Program: ~Copyable {
    let fixture: Fixture
    let pulses: BPFMap<UInt32, culvert_pulse>

    init(_ fixture: Fixture) throws {
      self.fixture = fixture
      pulses = try fixture.object.map("pulses")
    }

    func turn(_ number: UInt64) throws {
      var pulse = culvert_pulse()
      pulse.turns = number
      try pulses.update(0, pulse)
    }

    func run() throws -> Outcome { try fixture.run(.port, Frames.v4()) }

    /// The first outcome with the verdict; nil where it never comes.
    func run(until verdict: culvert_verdict) throws -> Outcome? {
      let deadline = Clock.monotonicNanoseconds + 10_000_000_000
      while Clock.monotonicNanoseconds < deadline {
        let outcome = try run()
        if outcome.verdict == verdict.rawValue { return outcome }
      }
      return nil
    }
  }

  @Test func aWorkerThatStandsStillIsGivenNothing() throws {
    try Fixture.run(.afxdp) { fixture in
      let program = try Program(fixture)
      try program.turn(1)
      #expect(try program.run().verdict == CULVERT_FORWARDED_ENCAP.rawValue, "it may look at any moment")
      let passed = try #require(try program.run(until: CULVERT_PASS_WORKER))
      #expect(passed.action == .pass)
      #expect(passed.data == Frames.v4(), "as it came, without metadata")
      try program.turn(2)
      #expect(try program.run(until: CULVERT_FORWARDED_ENCAP) != nil, "it has gone on")
    }
  }

  /// However its thread ends: nothing waits for it to be found standing still.
  @Test func aWorkerThatDiedIsGivenNothing() throws {
    try Fixture.run(.afxdp) { fixture in
      let program = try Program(fixture)
      let pulses = try Pulses(array: program.pulses.descriptor, workers: 1)
      let (mayEnd, hasBegun) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
      let thread = try DedicatedThread {
        try? pulses.begin(0)
        hasBegun.signal()
        mayEnd.wait()
      }
      hasBegun.wait()
      #expect(try program.run().verdict == CULVERT_FORWARDED_ENCAP.rawValue)
      mayEnd.signal()
      thread.join()
      // No turns are counted: it cannot have been found by those.
      #expect(try program.run(until: CULVERT_PASS_WORKER) != nil)
    }
  }

  @Test(arguments: [true, false]) func aWorkerThatTurnsIsGivenAll(counts: Bool) throws {
    try Fixture.run(.afxdp) { fixture in
      let program = try Program(fixture)
      let end = Clock.monotonicNanoseconds + 5 * CULVERT_STALL_NS
      var number: UInt64 = 0
      while Clock.monotonicNanoseconds < end {
        number += 1
        if counts { try program.turn(number) }
        #expect(try program.run().verdict == CULVERT_FORWARDED_ENCAP.rawValue)
      }
    }
  }

  /// It has looked since the last packet: how long ago says nothing.
  @Test func aWorkerThatSleepsIsAwake() throws {
    try Fixture.run(.afxdp) { fixture in
      let program = try Program(fixture)
      try program.turn(1)
      #expect(try program.run().verdict == CULVERT_FORWARDED_ENCAP.rawValue)
      try program.turn(2)
      let end = Clock.monotonicNanoseconds + 5 * CULVERT_STALL_NS
      while Clock.monotonicNanoseconds < end {}
      #expect(try program.run().verdict == CULVERT_FORWARDED_ENCAP.rawValue)
    }
  }
}
