// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

@testable import Bench

extension ABReport {
  static func sample() -> ABReport {
    ABReport(
      environment: Environment(
        machine: MachineEnvironment(
          kernel: "6.1.0", cpu: "a CPU", cpus: 2, virtualised: true,
          mitigations: ["meltdown": "Mitigation: PTI"]),
        baseline: "tuned", offloads: ["on": "as made"]),
      settings: Settings(
        repeats: 4, durationS: 0.5, pinning: ["one-core": ["client": 0, "server": 0]],
        baselineNetwork: "vxlan", networks: ["vxlan", "vxlan+xdp"]))
  }

  /// One row as extreme as `value` and the words are long.
  static func extreme(_ value: Double, _ cell: Cell, failed: String? = nil) -> ABReport {
    var report = sample()
    var seen = Observations(cell: cell)
    let baseline = Network(base: "vxlan")
    let other = Network(base: "vxlan", tier: "xdp")
    for network in [baseline, other] {
      var sample = Sample(value: network == baseline ? 1 / max(value, 1e-12) : value, lostFraction: 0.999_999)
      sample.latency = ["p50": value, "p90": value, "p99": value * 10, "p99.9": 1 / value, "max": 1e12]
      seen.samples[network] = [sample, sample]
      seen.pairs[network] = [(value, 1), (1, value), (value, value)]
      seen.dropped[network] = 3
      seen.costs[network] = (sample, 2.0)
    }
    if let failed { seen.failed[other] = failed }
    for network in [baseline, other] { report.results.append(seen.result(of: network, tier: nil)) }
    if let comparison = seen.comparison(of: other, with: baseline) { report.comparisons.append(comparison) }
    if let noise = seen.noiseFloor(of: baseline) { report.noiseFloor.append(noise) }
    return report
  }
}

struct ReportTests {
  @Test func roundTripsThroughJSON() throws {
    let report = ABReport.extreme(
      3.5, Cell(measure: .udpRoundTrip, size: 64, offloads: .on, placement: .oneCore))
    #expect(try ABReport.decoded(report.encoded()) == report)
  }

  @Test func usesTheContractsNames() throws {
    let report = ABReport.extreme(
      3.5, Cell(measure: .udpRoundTrip, size: 64, offloads: .on, placement: .oneCore))
    let object = try #require(JSONSerialization.jsonObject(with: report.encoded()) as? [String: Any])
    #expect(object["schema"] as? String == "culvert.ab/1")
    func keys(_ value: Any?) -> Set<String> { Set((value as? [String: Any])?.keys.map { $0 } ?? []) }
    #expect(
      keys(object["environment"]).isSuperset(of: [
        "baseline", "kernel", "cpu", "cpus", "virtualised", "mitigations", "culvert", "offloads",
      ]))
    #expect(keys(object["settings"]).isSuperset(of: ["repeats", "duration_s", "order", "pinning"]))
    let result = (object["results"] as? [[String: Any]])?.first
    #expect(
      keys(result).isSuperset(of: [
        "network", "workload", "size", "offloads", "placement", "metric", "unit", "samples", "median",
        "latency_us", "lost_fraction", "cpu_ns_per_packet",
      ]))
    #expect(keys(result?["latency_us"]) == ["p50", "p90", "p99", "p99.9", "max"])
    let comparison = (object["comparisons"] as? [[String: Any]])?.first
    #expect(
      keys(comparison).isSuperset(of: [
        "a", "b", "workload", "size", "offloads", "metric", "placement", "ratio", "ci95", "better", "verdict",
      ]))
    let floor = (object["noise_floor"] as? [[String: Any]])?.first
    #expect(keys(floor).isSuperset(of: ["network", "workload", "size", "metric", "ratio", "ci95"]))
  }

  static let values = [1e-9, 0.004, 0.9996, 9.996, 99.96, 999.6, 12_345, 9.9996e5, 3.8e10, 1e15]
  static let measures: [Measure] = [.noDropRate(.encap), .udpRoundTrip, .udpStream, .tcpStream]

  @Test(arguments: values, measures)
  func tableIsNeverWiderThan80(value: Double, measure: Measure) {
    let cell = Cell(measure: measure, size: 65507, offloads: .off, placement: .twoCore)
    for failed in [nil, "correctness gate: " + String(repeating: "x", count: 200)] {
      let text = ABTable(.extreme(value, cell, failed: failed), coloured: false).text
      for line in text.split(separator: "\n") { #expect(line.count <= 80, "\(line)") }
      #expect(!text.contains("\u{1b}"))
    }
  }

  @Test func tableSaysWhatQualifiesTheFigures() {
    let cell = Cell(measure: .udpStream, size: 64, offloads: .on, placement: .twoCore)
    var report = ABReport.extreme(3, cell)
    report.environment.debugBuild = true
    let text = ABTable(report, coloured: false).text
    for words in [
      "DEBUG BUILD", "vxlan+xdp against vxlan (tuned)", "Pairs dropped", "Lost", "Noise floor", "INTERRUPTED",
    ] {
      #expect(text.contains(words), "\(words)")
    }
    #expect(ABTable(report, coloured: true).text.contains("\u{1b}["))
  }

  @Test(arguments: [
    (1.85e6, "1/s", "1.85 M/s"), (4.775e9, "B/s", "38.2 Gb/s"), (12.44, "us", "12.4 µs"),
    (1234, "us", "1.23 ms"),
    (0.5, "1/s", "0.50 /s"), (2_500_000, "us", "2.50 s"),
  ])
  func quantities(value: Double, unit: String, text: String) {
    #expect(Quantity.text(value, unit: unit) == text)
  }
}
