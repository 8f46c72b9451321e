// SPDX-License-Identifier: Apache-2.0
import FastPath
import LinuxSystem

/// The steps of tier `xdp`, by BPF_PROG_TEST_RUN. Runs in a namespace that nothing else uses.
struct BPFRungs {
  /// Of the forwarding table.
  var tables: [UInt32] = [1, 1000, 100_000, 1_000_000]
  var sizes = [64, 512, 1400]
  /// Per sample.
  var times: Int32 = 20_000

  private static let usual: UInt32 = 1000
  private typealias IP = CostFrames.IP

  func add(to ladder: inout Ladder) throws {
    let usual = try CostPrograms(entries: Self.usual)
    let harness = Harness(&ladder, usual, times)
    addSteps(to: &ladder, usual, harness)
    try addWaysToTheKernel(to: &ladder, usual, harness)
    for entries in tables {
      let programs = entries == Self.usual ? usual : try CostPrograms(entries: entries)
      addTable(to: &ladder, programs, entries, harness)
    }
  }

  /// What every figure holds that is no part of it.
  private struct Harness {
    var empty: Int
    var choose: Int
    var sender: Int
    var move: Int

    init(_ ladder: inout Ladder, _ programs: CostPrograms, _ times: Int32) {
      func helper(_ step: CostPrograms.Step, _ destinations: CostPrograms.Destinations) -> Rung {
        let frame = step == .sender ? CostFrames.outer() : CostFrames.inner()
        return Rung(
          part: .bpf, tier: "xdp", step: step.rawValue, packets: Int(times),
          run: { try programs.run(step, over: frame, times: times, destinations: destinations) },
          isHelper: true)
      }
      empty = ladder.add(helper(.empty, .one))
      choose = ladder.add(helper(.choose, .all))
      sender = ladder.add(helper(.sender, .all))
      move = ladder.add(helper(.move, .one))
    }

    /// Of a step that moves the head there and back, one way is the step's own.
    func minus(
      _ step: CostPrograms.Step, _ destinations: CostPrograms.Destinations, moves: Bool
    ) -> [(rung: Int, share: Double)] {
      var minus = [(destinations == .one ? empty : step == .uplink ? sender : choose, 1.0)]
      if moves { minus += [(move, 0.5), (empty, -0.5)] }
      return minus
    }
  }

  private func rung(
    _ name: String, _ programs: CostPrograms, _ step: CostPrograms.Step, _ frame: [UInt8],
    _ conditions: CostReport.Conditions, _ harness: Harness, moves: Bool = false, remembers: Bool = true,
    above: Int? = nil
  ) -> Rung {
    let times = times
    let destinations = conditions.destinations.flatMap(CostPrograms.Destinations.init) ?? .one
    return Rung(
      part: .bpf, tier: "xdp", step: name, conditions: conditions, packets: Int(times),
      run: {
        try programs.run(step, over: frame, times: times, destinations: destinations, remembers: remembers)
      },
      minus: harness.minus(step, destinations, moves: moves), above: above)
  }

  private func addSteps(to ladder: inout Ladder, _ programs: CostPrograms, _ harness: Harness) {
    for ip in IP.allCases {
      for bytes in sizes {
        let conditions = CostReport.Conditions(
          ipVersion: ip.rawValue, bytes: bytes, entries: Int(Self.usual), destinations: "one")
        func add(
          _ name: String, _ step: CostPrograms.Step, moves: Bool = false, remembers: Bool = true,
          above: Int? = nil
        ) -> Int {
          let isWire = step == .outer || step == .uplink
          let frame = isWire ? CostFrames.outer(ip, bytes: bytes) : CostFrames.inner(ip, bytes: bytes)
          return ladder.add(
            rung(
              name, programs, step, frame, conditions, harness, moves: moves, remembers: remembers,
              above: above))
        }
        let parse = add("parse", .parse)
        let hit = add("hit, remembered", .table, above: parse)
        _ = add("encapsulate", .port, moves: true, above: hit)
        let outer = add("outer headers", .outer)
        _ = add("decapsulate", .uplink, moves: true, above: outer)
      }
    }
  }

  private func addTable(
    to ladder: inout Ladder, _ programs: CostPrograms, _ entries: UInt32, _ harness: Harness
  ) {
    for destinations in entries == 1 ? ["one"] : ["one", "all"] {
      let conditions = CostReport.Conditions(
        ipVersion: 4, bytes: 64, entries: Int(entries), destinations: destinations)
      func add(_ name: String, _ step: CostPrograms.Step, _ frame: [UInt8], moves: Bool, above: Int? = nil)
        -> Int
      {
        ladder.add(
          rung(
            name, programs, step, frame, conditions, harness, moves: moves, remembers: false, above: above))
      }
      let hit = add("hit, looked up", .table, CostFrames.inner(), moves: false)
      _ = add("encapsulate, looked up", .port, CostFrames.inner(), moves: true, above: hit)
      _ = add("decapsulate, looked up", .uplink, CostFrames.outer(), moves: true)
    }
  }

  private func addWaysToTheKernel(
    to ladder: inout Ladder, _ programs: CostPrograms, _ harness: Harness
  ) throws {
    for odd in CostFrames.odd {
      try confirm(odd, programs)
      let way = odd.step == .port ? "port" : "uplink"
      ladder.add(
        rung(
          "kernel: \(odd.verdict.name) (\(way))", programs, odd.step, odd.frame,
          CostReport.Conditions(entries: Int(Self.usual), destinations: "one"), harness))
    }
  }

  /// A frame that takes another way than its name says would be a figure for something else.
  private func confirm(_ odd: CostFrames.Odd, _ programs: CostPrograms) throws {
    let before = try programs.counts(of: odd.step)
    _ = try programs.run(odd.step, over: odd.frame, times: 16)
    let after = try programs.counts(of: odd.step)
    guard after[odd.verdict, default: 0] - before[odd.verdict, default: 0] >= 15 else {
      let others = after.filter { $0.value > before[$0.key, default: 0] }.map(\.key.name).sorted()
      throw Failure(
        "measure", odd.verdict.name, advice: "Its frames were counted as \(others.joined(separator: ", ")).")
    }
  }
}
