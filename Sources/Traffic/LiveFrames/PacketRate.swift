// SPDX-License-Identifier: Apache-2.0
import Glibc
import LinuxSystem
import Synchronization

/// Workload `packet-rate`: live frames into a path, counted and dropped at its end. Nothing of it is in user
/// space: what is measured is the path, the generator (some 10 ns a frame) and the counter.
public struct PacketRate: Sendable {
  /// Where frames leave: the generator's thread runs there, pinned, and soft interrupts make it carry the
  /// whole path.
  public var source: Station
  public var sourceInterface: String
  /// The addresses of several pairs of ends by turns, instead of always the frame's.
  public var turns: FrameTurns?
  /// Another address with each frame.
  public var numbers: FrameNumbers?
  /// Where they are counted: on the first, and for `turns` on others like it.
  public var sink: Station
  public var moreSinks: [Station] = []
  public var sinkInterface: String
  /// UDP destination port of the frames as they arrive.
  public var port: UInt16
  public var frame: FrameTemplate
  /// Where a frame may carry the time of its leaving: as it leaves, and as it arrives.
  public var stampOffsets: (sent: Int, received: Int)
  /// What setting up may take before frames have to flow, in seconds: some 20 ms, more where the machine is busy.
  public var setUpTime = 0.06
  /// Told when the window that counts begins and ends (CLOCK_MONOTONIC, ns).
  public var onWindow: (@Sendable (_ from: UInt64, _ until: UInt64) -> Void)?

  public init(
    source: Station, sourceInterface: String, sink: Station, sinkInterface: String, port: UInt16,
    frame: FrameTemplate,
    stampOffsets: (sent: Int, received: Int) = (
      FrameTemplate.headerBytes, FrameTemplate.headerBytes
    )
  ) {
    self.source = source
    self.sourceInterface = sourceInterface
    self.sink = sink
    self.sinkInterface = sinkInterface
    self.port = port
    self.frame = frame
    self.stampOffsets = stampOffsets
  }

  public struct Report: Sendable, Equatable {
    /// Counted inside the window.
    public var packetsPerSecond: Double
    /// Of the whole run, after the path has drained.
    public var sent: UInt64
    public var sunk: UInt64
    /// From generator to counter, of the frames inside the window; where it was asked for.
    public var delay: LatencyHistogram?
    public var lostFraction: Double { sent > sunk ? Double(sent - sunk) / Double(sent) : 0 }
  }

  private static let drainMicroseconds: UInt32 = 10_000

  /// - Parameters:
  ///   - rate: frames per second offered; nil is as fast as it goes.
  ///   - isYielding: generate in scheduling class SCHED_IDLE.
  ///   - measuresDelay: the frames carry the time of their leaving.
  ///
  /// A trial whose set-up took so long that the frames ended early is done again, and is
  /// a failure when that keeps happening: a short window is no sample.
  public func run(
    rate: Double?, timing: LoadTiming, isYielding: Bool = false, measuresDelay: Bool = false
  ) throws -> Report {
    for _ in 0..<3 {
      let report = try attempt(
        rate: rate, timing: timing, isYielding: isYielding, measuresDelay: measuresDelay)
      if let report { return report }
    }
    throw Failure(
      "measure", "a window of \(timing.duration) s",
      advice: "The machine was too busy to set up in time, three times over; try again when it is quieter.")
  }

  private func attempt(
    rate: Double?, timing: LoadTiming, isYielding: Bool, measuresDelay: Bool
  ) throws -> Report? {
    let sink = try FrameSink(
      on: ([sink] + moreSinks).map { (sinkInterface, $0.namespace) }, port: port,
      stampOffset: measuresDelay ? stampOffsets.received : nil)
    let stampOffset = measuresDelay ? stampOffsets.sent : nil
    let generator = try Shared(FrameGenerator(frame, turns: turns, numbers: numbers))
    let ingress = try source.namespace.index(of: sourceInterface)
    let source = source
    let outcome = Mutex<Result<Void, Failure>>(.success(()))
    let isOver = Atomic(false)
    // The first frame starts the clock.
    let limit = Clock.monotonicNanoseconds + 3_000_000_000 + nanoseconds(timing.warmUp + timing.duration)
    let stop = Clock.monotonicNanoseconds + nanoseconds(setUpTime + timing.warmUp + timing.duration)
    let thread = try DedicatedThread {
      let result = Result { () throws(Failure) -> Void in
        try source.enter()
        if isYielding { try CPU.yieldToAll() }
        try generator.value.run(
          ingress: ingress, rate: rate.map { UInt64($0) }, until: stop, stampOffset: stampOffset)
      }
      outcome.withLock { $0 = result }
      isOver.store(true, ordering: .releasing)
    }
    defer { thread.join() }
    while try sink.packets() == 0, !isOver.load(ordering: .acquiring), Clock.monotonicNanoseconds < limit {
      usleep(500)
    }
    usleep(UInt32(timing.warmUp * 1e6))
    let from = Clock.monotonicNanoseconds
    let until = min(from + nanoseconds(timing.duration), max(stop, from + 1))
    let isWhole = Double(until - from) >= 0.9 * Double(nanoseconds(timing.duration))
    // Where nothing arrives at all, there is no window to wait for.
    guard try isWhole || sink.packets() == 0 else {
      thread.join()
      try outcome.withLock { try $0.get() }
      return nil
    }
    onWindow?(from, until)
    let delaysBefore = measuresDelay ? try sink.delays() : nil
    let before = (try sink.packets(), Clock.monotonicNanoseconds)
    let now = Clock.monotonicNanoseconds
    if until > now { usleep(UInt32((until - now) / 1000)) }
    let after = (try sink.packets(), Clock.monotonicNanoseconds)
    let delay = try delaysBefore.map { try sink.delays().histogram(since: $0) }
    thread.join()
    try outcome.withLock { try $0.get() }
    let sent = try generator.value.sent()
    let sunk = try drained(sink, sent)
    return Report(
      packetsPerSecond: Double(after.0 - before.0) / (Double(after.1 - before.1) / 1e9),
      sent: sent, sunk: sunk, delay: delay)
  }

  /// What has arrived once nothing more does: a tier with threads of its own may be behind.
  private func drained(_ sink: borrowing FrameSink, _ sent: UInt64) throws -> UInt64 {
    var sunk: UInt64 = 0
    for _ in 0..<50 {
      usleep(Self.drainMicroseconds)
      let now = try sink.packets()
      if now >= sent || now == sunk { return now }
      sunk = now
    }
    return sunk
  }

  /// The highest rate that loses at most `tolerance` of what was sent (RFC 2544 section 26.1 with a
  /// tolerance), to about two percent: bisection between 0 and `ceiling`, which is tried first. Generating is
  /// of the lowest scheduling class here: it never keeps ksoftirqd, on the same CPU, from emptying the rings.
  /// - Parameter steps: trials at most.
  public func noDropRate(
    ceiling: Double, tolerance: Double = 1e-5, steps: Int, timing: LoadTiming
  ) throws -> Double {
    try Bisection(ceiling: ceiling, steps: steps).search { rate in
      let report = try run(rate: rate, timing: timing, isYielding: true)
      guard report.sent > 0, report.lostFraction <= tolerance else { return nil }
      return report.packetsPerSecond
    }
  }

  private final class Shared: Sendable {
    let value: FrameGenerator
    init(_ value: consuming FrameGenerator) { self.value = value }
  }
}

/// The highest value reached without failing, by halving.
struct Bisection {
  var ceiling: Double
  var steps: Int

  /// `attempt` returns what was reached (less than asked for where that cannot be had), nil for a failure.
  /// 0 when nothing passed.
  func search(_ attempt: (Double) throws -> Double?) rethrows -> Double {
    var best = 0.0
    var low = 0.0
    var high = ceiling
    var candidate = ceiling
    for _ in 0..<steps {
      if let reached = try attempt(candidate) {
        best = max(best, min(reached, candidate))
        if reached >= candidate * 0.97 { low = candidate } else { high = candidate }
        if low == ceiling { break }
      } else {
        high = candidate
      }
      low = max(low, best)
      if high - low < ceiling * 0.02 { break }
      candidate = (low + high) / 2
    }
    return best
  }
}
