// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import CBPFObjects
import DataPlane
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
      var packets = [UInt64](repeating: 0, count: Int(CULVERT_COUNTED))
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

  /// Forwarded frames of tier `afxdp` as the forwarder would send them.
  private func run(
    _ program: borrowing BPFProgram, _ frame: [UInt8], _ ingress: UInt32?
  ) throws -> (XDPAction?, [UInt8]) {
    guard family == .tc else {
      let direct = try direct()
      let result = try program.testRun(frame, ingress: ingress)
      guard family == .afxdp, result.action == .redirect, try self.direct() == direct else {
        return (result.action, result.data)
      }
      return (result.action, try forwarded(result.data))
    }
    let result = try program.testRunSKB(frame, ifindex: ingress ?? Self.lo)
    let action: XDPAction? =
      switch Int32(bitPattern: result.value) {
      case 7: .redirect  // TC_ACT_REDIRECT
      case -1: .pass  // TC_ACT_UNSPEC
      case 2: .drop  // TC_ACT_SHOT
      default: nil
      }
    return (action, result.data)
  }

  /// `data` begins with the program's words.
  private func forwarded(_ data: [UInt8]) throws -> [UInt8] {
    var slots: [culvert_tunnel] = []
    while let tunnel = try tunnels.lookup(UInt32(slots.count)), slots.count < 4 { slots.append(tunnel) }
    return try #require(FrameInMemory.apply(data, tunnels: slots))
  }

  /// One frame through one program; fails unless exactly one counter went up by exactly one.
  func run(_ program: Program, _ frame: [UInt8], ingress: UInt32? = nil) throws -> Outcome {
    let before = try totals()
    let (action, data) =
      switch program {
      case .port: try run(port, frame, ingress)
      case .uplink: try run(uplink, frame, ingress)
      }
    let after = try totals()
    var bumps: [(slot: Int, verdict: Int, packets: UInt64, bytes: UInt64)] = []
    for slot in 0..<8 {
      for verdict in 0..<Int(CULVERT_COUNTED) {
        let packets = after.packets[slot][verdict] - before.packets[slot][verdict]
        let bytes = after.bytes[slot][verdict] - before.bytes[slot][verdict]
        if packets != 0 || bytes != 0 { bumps.append((slot, verdict, packets, bytes)) }
      }
    }
    try #require(bumps.count == 1, "one counter per packet, not \(bumps)")
    try #require(bumps[0].packets == 1)
    return Outcome(
      action: action, data: data, verdict: UInt32(bumps[0].verdict),
      slot: UInt32(bumps[0].slot), bytes: bumps[0].bytes)
  }
}
