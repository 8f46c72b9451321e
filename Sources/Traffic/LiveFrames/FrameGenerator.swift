// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import CBPFObjects
import CLinuxSystem
import Glibc
import LinuxSystem
import Synchronization
import SystemPackage

/// Frames that leave an interface as if its namespace's stack had sent them: BPF_PROG_RUN with live frames,
/// one call, paced inside the program by a token bucket of one burst.
public struct FrameGenerator: ~Copyable, Sendable {
  private let program: BPFProgram
  private let state: BPFMap<UInt32, culvert_generator>
  private let frame: FrameTemplate

  /// - Parameters:
  ///   - turns: the frame's addresses by turns, instead of always its own.
  ///   - numbers: one of its addresses another with each frame.
  public init(_ frame: FrameTemplate, turns: FrameTurns? = nil, numbers: FrameNumbers? = nil) throws {
    let object = try BPFObject.bench(["culvert_generate"])
    let program = try object.program("culvert_generate")
    let state: BPFMap<UInt32, culvert_generator> = try object.map("generator")
    let template: BPFMap<UInt32, culvert_template> = try object.map("template")
    var contents = culvert_template()
    let kept = min(frame.octets.count, Int(CULVERT_TEMPLATE_BYTES))
    withUnsafeMutableBytes(of: &contents.data) { $0.copyBytes(from: frame.octets[..<kept]) }
    contents.bytes = UInt32(kept)
    if let turns { try turns.fill(&contents, object) }
    numbers?.fill(&contents)
    try template.update(0, contents)
    self.program = program
    self.state = state
    self.frame = frame
  }

  /// Frames that the program sent so far in this run.
  public func sent() throws(Failure) -> UInt64 { try state.lookup(0)?.sent ?? 0 }

  /// Sends until `stop` (CLOCK_MONOTONIC, ns) on the calling thread, which must be in the interface's
  /// namespace and stays on the CPU it is on. Takes some 20 ms more to set up.
  /// - Parameters:
  ///   - rate: frames per second; nil is as fast as it goes.
  ///   - stampOffset: where each frame carries the time of its leaving.
  public func run(
    ingress: UInt32, rate: UInt64?, until stop: UInt64, stampOffset: Int? = nil
  ) throws(Failure) {
    var start = culvert_generator()
    start.rate = rate ?? 0
    start.stamp_offset = UInt64(stampOffset ?? 0)
    start.stop_ns = stop
    start.last_ns = Clock.monotonicNanoseconds
    try state.update(0, start)
    // The call itself ends after its repetitions only: a signal ends it once the program has stopped sending.
    var timer: UnsafeMutableRawPointer?
    let status = culvert_interrupt_at(stop + 2_000_000, &timer)
    guard status == 0 else { throw Failure("set", "a timer", errno: Errno(rawValue: -status)) }
    defer { culvert_interrupt_end(timer) }
    while Clock.monotonicNanoseconds < stop {
      try program.runLiveFrames(frame.octets, ingress: ingress, repetitions: 1 << 30)
    }
  }
}
