// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import CBPFObjects
import PacketHeaders
import Synchronization
import TestSupport
import Testing

@Suite(.enabled(if: mayUseKernel, .init(rawValue: needsRoot)))
struct VerdictTests {
  static let groups: [String: [Case]] = [
    "port: forwarded": Case.portForwarded, "port: outer headers": Case.portHeaders,
    "port: passed": Case.portPassed, "port: outer checksum": Case.portChecksums, "port: ECN": Case.portECN,
    "uplink: forwarded": Case.uplinkForwarded, "uplink: outer headers": Case.uplinkOuter,
    "uplink: inner headers": Case.uplinkInner, "uplink: ECN": Case.uplinkECN,
  ]

  /// Each case three times: with nothing remembered, then with the tables' generation known, where the
  /// third run may go by what the second remembered.
  @Test(arguments: groups.keys.sorted(), Family.allCases)
  func frames(group: String, family: Family) throws { try Self.run(group, family) }

  /// Tier `afxdp` comes to the same where no worker is woken for a packet.
  @Test(arguments: groups.keys.sorted())
  func framesThatAreFew(group: String) throws { try Self.run(group, .afxdp, forwardsFew: true) }

  private static func run(_ group: String, _ family: Family, forwardsFew: Bool = false) throws {
    let cases = try #require(groups[group]).compactMap { $0.seen(by: family) }
    let outcomes = try Fixture.run(family, forwardsFew: forwardsFew) { fixture in
      try cases.map { one in
        try fixture.fill()
        try one.prepare(fixture)
        var outcomes = [try fixture.run(one.program, one.frame)]
        try one.prepare(fixture)
        try fixture.generation.update(0, next())
        outcomes.append(try fixture.run(one.program, one.frame))
        // A refresh is due once.
        if one.verdict != CULVERT_PASS_REFRESH { outcomes.append(try fixture.run(one.program, one.frame)) }
        return outcomes
      }
    }
    for (one, outcomes) in zip(cases, outcomes) {
      for outcome in outcomes { check(outcome, one, family) }
    }
  }

  /// A generation that no fixture has seen.
  private static func next() -> UInt64 { serial.wrappingAdd(1, ordering: .relaxed).newValue }
  private static let serial = Atomic<UInt64>(0)

  private static func check(_ outcome: Outcome, _ one: Case, _ family: Family) {
    let name = Comment(rawValue: "\(family): \(one.name)")
    #expect(outcome.verdict == one.verdict.rawValue, name)
    #expect(outcome.slot == one.slot, name)
    #expect(outcome.bytes == UInt64(one.frame.count), name)
    #expect(outcome.action == one.action, name)
    switch one.out {
    case .unchanged: #expect(outcome.data == one.frame, name)
    case .exactly(let expected): #expect(outcome.data == expected, name)
    case .encapsulated(let outer):
      let expected = outer.choosing(from: outcome.data)
      #expect(outcome.data == expected.around(one.frame), name)
      #expect((32768...60999).contains(expected.port), name)
    }
  }

  /// A reason that no case reaches is a reason nobody has tried.
  @Test func everyVerdictIsReached() {
    var reached = Set(Self.groups.values.joined().map(\.verdict.rawValue))
    reached.insert(CULVERT_PASS_HEADROOM.rawValue)  // LifeTests.noHeadroom
    reached.insert(CULVERT_PASS_UNSUPPORTED.rawValue)  // SegmentTests.mergedDatagramsAreTheKernels
    reached.insert(CULVERT_PASS_WORKER.rawValue)  // StalledWorkerTests
    reached.formUnion([CULVERT_PASS_IP_HEADER.rawValue, CULVERT_PASS_ROUTE.rawValue])  // RoutedVerdictTests
    reached.insert(CULVERT_PASS_CONNECTION.rawValue)  // RoutedConnectionTests
    #expect(reached == Set(0..<CULVERT_VERDICTS.rawValue))
  }

  @Test func caseNamesDiffer() {
    let names = Self.groups.values.joined().map(\.name)
    #expect(Set(names).count == names.count)
  }
}
