// SPDX-License-Identifier: Apache-2.0
import CStepReference
import DataPlane
import FastPath
import LinuxSystem
import XDPSocket

/// The steps of tier `afxdp`'s forwarder over bursts in memory, each beside the same in C.
struct BurstRungs {
  var bursts = [1, 4, 16, 64, 256]
  var sizes = [64, 512, 1400]
  /// Per sample. A debug build's figures are nobody's.
  var packets = Build.isDebug ? 1024 : 65_536

  private static let usual = 64

  func add(to ladder: inout Ladder) throws {
    for burst in bursts {
      add(to: &ladder, .v4, bytes: 64, burst: burst, [.touch, .parse, .lookUp, .encapsulate, .whole])
    }
    add(to: &ladder, .v6, bytes: 64, burst: Self.usual, [.parse, .lookUp, .encapsulate, .whole])
    for bytes in sizes { add(to: &ladder, .v4, bytes: bytes, burst: Self.usual, [.complete]) }
    try addRings(to: &ladder)
  }

  /// Received, offered anew, transmitted and taken back. The kernel's part, its copies and its calls, is in `path`.
  private func addRings(to ladder: inout Ladder) throws {
    let rings = try RingsInMemory()
    for burst in bursts {
      let turns = max(1, packets / burst)
      ladder.add(
        Rung(
          part: .swift, tier: "afxdp", step: "rings", conditions: CostReport.Conditions(burst: burst),
          packets: turns * burst,
          run: { Self.time(turns * burst) { rings.run(burst: UInt32(burst), turns: turns) } }))
    }
  }

  private func add(
    to ladder: inout Ladder, _ ip: CostFrames.IP, bytes: Int, burst count: Int, _ steps: [BurstInMemory.Step]
  ) {
    let burst = BurstInMemory(
      CostFrames.inner(ip, bytes: bytes), count: count, tunnels: CostPrograms.tunnels(64))
    let turns = max(1, packets / count)
    var above: Int?
    for step in steps {
      var rung = Rung(
        part: .swift, tier: "afxdp", step: step.rawValue,
        conditions: CostReport.Conditions(ipVersion: ip.rawValue, bytes: bytes, burst: count),
        packets: turns * count,
        run: { Self.time(turns * count) { burst.run(step, turns: turns) } }, above: above)
      if let reference = burst.reference(step) {
        rung.reference = { Self.time(turns * count) { reference(turns) } }
      }
      above = ladder.add(rung)
    }
  }

  private static func time(_ packets: Int, _ body: () -> UInt64) -> Double {
    let begin = Clock.monotonicNanoseconds
    blackHole(body())
    return Double(Clock.monotonicNanoseconds - begin) / Double(packets)
  }

  /// Keeps a result from being computed for nobody, and the work with it.
  @inline(never)
  private static func blackHole(_ value: UInt64) { withExtendedLifetime(value) {} }
}

extension BurstInMemory {
  private typealias Reference =
    @convention(c) (UnsafePointer<culvert_reference_burst>?, UInt32) -> UInt64

  /// The same step in C over the same frames, so many turns; nil where there is none.
  func reference(_ step: Step) -> ((Int) -> UInt64)? {
    let function: Reference
    switch step {
    case .touch: function = culvert_reference_touch
    case .parse: function = culvert_reference_parse
    case .lookUp: function = culvert_reference_look_up
    case .encapsulate: function = culvert_reference_encapsulate
    case .complete: function = culvert_reference_complete
    case .whole: return nil
    }
    return { turns in
      self.offsets.withUnsafeBufferPointer { offsets in
        var burst = culvert_reference_burst(
          memory: self.memory.assumingMemoryBound(to: UInt8.self), offsets: offsets.baseAddress,
          bytes: UInt32(self.bytes), count: UInt32(self.count),
          tunnels: UnsafePointer(self.tunnels.baseAddress), tunnel_count: UInt32(self.tunnels.count),
          seed: Self.seed, unfinished: self.unfinished,
          next_block: self.nextBlock, next_numbers: self.nextNumbers)
        return function(&burst, UInt32(turns))
      }
    }
  }
}

/// One step alone: for counting what a run of it executes.
public enum SingleStep {
  /// Over bursts of IPv4 frames in memory, `turns` times.
  public static func run(_ step: BurstInMemory.Step, burst: Int, bytes: Int, turns: Int) -> UInt64 {
    BurstInMemory(CostFrames.inner(bytes: bytes), count: burst, tunnels: CostPrograms.tunnels(64))
      .run(step, turns: turns)
  }
}
