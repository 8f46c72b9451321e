// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Bench

struct ScheduleTests {
  let a = Network(base: "vxlan")
  let b = Network(base: "vxlan", tier: "xdp")
  let bare = Network(base: "bare")

  @Test func twoPassesMirrorEachOther() {
    let schedule = Schedule(baseline: a, networks: [a, b, bare])
    #expect(schedule.others == [bare, b], "networks without a tier lie next to the baseline")
    #expect(schedule.pass(0).trials == [a, a, bare, b])
    #expect(schedule.pass(1).trials == [b, bare, a, a])
    #expect(schedule.pass(2) == schedule.pass(0))
  }

  @Test func everyPairNamesItsTrials() {
    let schedule = Schedule(baseline: a, networks: [b, bare])
    for index in 0...1 {
      let pass = schedule.pass(index)
      #expect(Set(pass.pairs.map(\.network)) == [a, b, bare])
      for pair in pass.pairs {
        #expect(pass.trials[pair.trial] == pair.network)
        #expect(pass.trials[pair.baselineTrial] == a)
        #expect(pair.trial != pair.baselineTrial)
      }
    }
  }

  @Test func amongManyTheBaselineIsNeverFar() {
    let networks = (1...11).map { Network(base: "n\($0)") }
    let schedule = Schedule(baseline: a, networks: networks)
    for index in 0...1 {
      let pass = schedule.pass(index)
      #expect(pass.trials.count == schedule.passLength)
      #expect(schedule.passLength == 15, "eleven, and the baseline twice at first and twice more")
      #expect(Set(pass.pairs.map(\.network)) == Set([a] + networks))
      for pair in pass.pairs {
        #expect(pass.trials[pair.trial] == pair.network && pass.trials[pair.baselineTrial] == a)
        #expect(pair.trial != pair.baselineTrial)
        #expect(pair.span.count <= Schedule.stretch)
      }
    }
    #expect(schedule.pass(1).trials == schedule.pass(0).trials.reversed())
  }

  @Test func aFlipCountsOnlyInsideThePairsSpan() {
    let near: [Double?] = [60, 62, 61, 200, 210]
    #expect(!StateFlip.happened(in: 0...1, distances: near))
    #expect(StateFlip.happened(in: 1...2, distances: near))
    #expect(!StateFlip.happened(in: 3...3, distances: near))
    #expect(!StateFlip.happened(in: 0...3, distances: [nil, nil, nil, nil, nil]))
  }
}
