// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import CBPFObjects
import Testing

/// What became of one frame, and the one counter that says so.
struct Outcome {
  var action: XDPAction?
  var data: [UInt8]
  var verdict: UInt32
  var slot: UInt32
  var bytes: UInt64
}

/// What one bump of one counter adds; nil when it was not exactly one.
struct Totals: Equatable {
  var packets: [[UInt64]]
  var bytes: [[UInt64]]
}

enum Program {
  case port, uplink
}

extension Fixture {
  func totals() throws -> Totals {
    var totals = Totals(packets: [], bytes: [])
    for slot in UInt32(0)..<8 {
      let cpus = try #require(try counters.perCPU(slot))
      var packets = [UInt64](repeating: 0, count: 32)
      var bytes = packets
      for cpu in cpus {
        withUnsafeBytes(of: cpu.packets) { field in
          for (index, value) in field.bindMemory(to: UInt64.self).enumerated() { packets[index] += value }
        }
        withUnsafeBytes(of: cpu.bytes) { field in
          for (index, value) in field.bindMemory(to: UInt64.self).enumerated() { bytes[index] += value }
        }
      }
      totals.packets.append(packets)
      totals.bytes.append(bytes)
    }
    return totals
  }

  /// One frame through one program; fails unless exactly one counter went up by exactly one.
  func run(_ program: Program, _ frame: [UInt8], ingress: UInt32? = nil) throws -> Outcome {
    let before = try totals()
    let result =
      switch program {
      case .port: try port.testRun(frame, ingress: ingress)
      case .uplink: try uplink.testRun(frame, ingress: ingress)
      }
    let after = try totals()
    var bumps: [(slot: Int, verdict: Int, packets: UInt64, bytes: UInt64)] = []
    for slot in 0..<8 {
      for verdict in 0..<32 {
        let packets = after.packets[slot][verdict] - before.packets[slot][verdict]
        let bytes = after.bytes[slot][verdict] - before.bytes[slot][verdict]
        if packets != 0 || bytes != 0 { bumps.append((slot, verdict, packets, bytes)) }
      }
    }
    try #require(bumps.count == 1, "one counter per packet, not \(bumps)")
    try #require(bumps[0].packets == 1)
    return Outcome(
      action: result.action, data: result.data, verdict: UInt32(bumps[0].verdict),
      slot: UInt32(bumps[0].slot), bytes: bumps[0].bytes)
  }
}
