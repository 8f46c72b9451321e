// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import CBPFObjects
import PacketHeaders
import Testing

@Suite(.enabled(if: mayTest, "needs root: loads BPF programs"))
struct VerdictTests {
  static let cases =
    Case.portForwarded + Case.portHeaders + Case.portPassed + Case.portChecksums
    + Case.uplinkForwarded + Case.uplinkOuter + Case.uplinkInner + Case.uplinkECN + Case.portECN

  /// Each case three times: with nothing remembered, then with the tables' generation known, where the
  /// third run may go by what the second remembered.
  @Test(arguments: cases)
  func frame(_ one: Case) throws {
    let outcomes = try Fixture.run { fixture in
      try one.prepare(fixture)
      var outcomes = [try fixture.run(one.program, one.frame)]
      try one.prepare(fixture)
      try fixture.generation.update(0, 1)
      outcomes.append(try fixture.run(one.program, one.frame))
      // A refresh is due once.
      if one.verdict != CULVERT_PASS_REFRESH { outcomes.append(try fixture.run(one.program, one.frame)) }
      return outcomes
    }
    for outcome in outcomes {
      #expect(outcome.verdict == one.verdict.rawValue)
      #expect(outcome.slot == one.slot)
      #expect(outcome.bytes == UInt64(one.frame.count))
      #expect(outcome.action == one.action)
      switch one.out {
      case .unchanged: #expect(outcome.data == one.frame)
      case .exactly(let expected): #expect(outcome.data == expected)
      case .encapsulated(let outer):
        let expected = outer.choosing(from: outcome.data)
        #expect(outcome.data == expected.around(one.frame))
        #expect((32768...60999).contains(expected.port))
      }
    }
  }

  /// A reason that no case reaches is a reason nobody has tried.
  @Test func everyVerdictIsReached() {
    var reached = Set(Self.cases.map(\.verdict.rawValue))
    reached.insert(CULVERT_PASS_HEADROOM.rawValue)  // LifeTests.noHeadroom
    #expect(reached == Set(0..<CULVERT_VERDICTS.rawValue))
  }

  @Test func caseNamesDiffer() {
    #expect(Set(Self.cases.map(\.name)).count == Self.cases.count)
  }
}
