// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

@testable import Bench

struct ModesTests {
  /// A tier that was seen in two states by one and the same row.
  @Test func twoStatesAreTold() throws {
    let modes = try #require(Modes([4.07, 3.56, 1.20, 1.29, 3.70, 1.46]))
    #expect(modes == Modes([1.20, 1.29, 1.46, 3.56, 3.70, 4.07]))
    #expect((modes.low.median, modes.low.samples) == (1.29, 3))
    #expect((modes.high.median, modes.high.samples) == (3.70, 3))
    #expect(modes.words(unit: "1/s") == "two modes: 1.29 /s in 3 trials, 3.70 /s in 3")
  }

  @Test(arguments: [
    // A straggler, a slope, one value, too few, too near.
    [10, 10.1, 9.9, 10.2, 9.8, 2], [1, 2, 3, 4, 5, 6, 7, 8], [5, 5, 5, 5, 5, 5], [1, 1, 1, 9, 9],
    [10, 10.01, 10.02, 12, 12.01, 12.02], [],
  ])
  func whatIsOneModeIsNotTold(values: [Double]) { #expect(Modes(values) == nil) }

  /// With as much noise as a shared machine has, and as many trials as runs have.
  @Test(arguments: [6, 8, 11, 12, 24, 60]) func normalNoiseIsOneMode(samples: Int) {
    var generator = SeededGenerator(seed: UInt64(samples))
    func normal() -> Double {
      let (a, b) = (Double.random(in: 1e-9...1, using: &generator), Double.random(in: 0...1, using: &generator))
      return (-2 * log(a)).squareRoot() * cos(2 * .pi * b)
    }
    func told(_ noise: Double, of rows: Int) -> Int {
      (0..<rows).count { _ in Modes((0..<samples).map { _ in 100 + noise * normal() }) != nil }
    }
    #expect(told(5, of: 200) == 0, "5 % of noise never spans a quarter")
    #expect(told(20, of: 2000) <= 22, "0.5 % of 2000, give or take")
  }

  /// The same noise about two figures is told nearly always.
  @Test(arguments: [8, 12, 24]) func twoNoisyModesAreTold(samples: Int) {
    var generator = SeededGenerator(seed: 5)
    let told = (0..<200).count { _ in
      let values = (0..<samples).map { index in
        (index % 2 == 0 ? 100 : 250) * Double.random(in: 0.9...1.1, using: &generator)
      }
      return Modes(values) != nil
    }
    #expect(told >= 190)
  }

  @Test func aRowOfTwoModesIsMarkedInEveryForm() throws {
    let cell = Cell(measure: .packetRate(.decap), size: 64, offloads: .on, placement: .oneCore)
    var report = ABReport.sample()
    report.settings.networks = ["vxlan", "vxlan+afxdp"]
    report.settings.pinning["packet-rate"] = ["generator": 0, "worker": 1]
    let networks = [Network(base: "vxlan"), Network(base: "vxlan", tier: "afxdp")]
    var seen = Observations(cell: cell)
    let trials = [[5e5, 5.1e5, 4.9e5, 5e5, 5e5, 5.2e5], [4.07e6, 3.56e6, 1.2e6, 1.29e6, 3.7e6, 1.46e6]]
    for (network, values) in zip(networks, trials) {
      seen.samples[network] = values.map { Sample(value: $0) }
      seen.pairs[network] = zip(values, trials[0]).map { (a: $0, b: $1) }
    }
    report.results = [
      seen.result(of: networks[0], tier: nil),
      seen.result(of: networks[1], tier: .init(requested: "afxdp", obtained: "afxdp native")),
    ]
    report.comparisons = [try #require(seen.comparison(of: networks[1], with: networks[0]))]
    func forms() throws -> [String] {
      [ABTable(report, coloured: false).text, ABMarkdown(report).text, try ABPage(report).html()]
        .map { $0.replacing("\n  ", with: " ") }
    }
    for text in try forms() {
      #expect(text.contains("two modes: 1.29 M/s in 3 trials, 3.70 M/s in 3"))
      #expect(text.contains("a worker on a second CPU"))
      #expect(text.contains("the median is neither group"))
    }
    // The baseline's own are told where they move a ratio.
    (report.results[0].samples, report.results[1].samples) = (trials[1], trials[0])
    for text in try forms() { #expect(text.contains("vxlan: two modes")) }
    report.results[0].samples = trials[0]
    report.settings.pinning["packet-rate"] = ["generator": 0, "worker": 0]
    for text in try forms() {
      #expect(!text.contains("two modes") && !text.contains("second CPU") && !text.contains("neither group"))
    }
  }
}
