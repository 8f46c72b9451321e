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

  /// A terminal with room for it has rows and verdicts in full; one with less has what a file has.
  @Test func aWiderTableNamesRowsInFull() {
    let cells = [Ends.both, .sender].map {
      Cell(measure: .tcpStream, size: 65536, offloads: .off, placement: .twoCore, ends: $0)
    }
    let report = streams(cells)
    let narrow = ABTable(report, coloured: false).text
    #expect(narrow.contains("tcp-stream 64 KiB off 2-core send "))
    #expect(ABTable(report, coloured: false, width: 40).text == narrow)
    let rows = { (text: String) in text.split(separator: "\n").filter { $0.hasPrefix("tcp-stream") }.prefix(2) }
    #expect(rows(ABTable(report, coloured: false, width: 100).text) == rows(narrow), "not enough for all")
    let wide = ABTable(report, coloured: false, width: 130).text
    #expect(wide.contains("tcp-stream 64 KiB, offloads off, two core, tier on the sender only "))
    #expect(wide.split(separator: "\n").allSatisfy { $0.count <= 130 })
    #expect(wide.split(separator: "\n").contains { $0.count > 80 })
    // The words under a row are not said twice.
    #expect(!wide.contains("  tier on the sender only"))
  }

  @Test func tableSaysWhatQualifiesTheFigures() {
    let cell = Cell(measure: .udpStream, size: 64, offloads: .on, placement: .twoCore)
    var report = ABReport.extreme(3, cell)
    report.environment.debugBuild = true
    let text = ABTable(report, coloured: false).text
    for words in [
      "DEBUG BUILD", "vxlan+xdp against vxlan (tuned)", "Pairs dropped", "lost 100.0 %", "Noise floor",
      "INTERRUPTED",
    ] {
      #expect(text.contains(words), "\(words)")
    }
    #expect(ABTable(report, coloured: true).text.contains("\u{1b}["))
  }

  /// A row of a tier on one end, with what cannot be left out of it.
  private func streams(_ cells: [Cell]) -> ABReport {
    var report = ABReport.sample()
    let networks = [Network(base: "vxlan"), Network(base: "vxlan", tier: "auto")]
    report.settings.networks = networks.map(\.description)
    for cell in cells {
      var seen = Observations(cell: cell)
      for network in networks {
        let isTier = network.tier != nil
        var sample = Sample(value: isTier ? 95 : 100)
        (sample.segments, sample.retransmitted) = (1000, isTier ? 12 : 1)
        sample.skbBytes = isTier ? 1500 : 45_000
        seen.samples[network] = [sample, sample]
        seen.pairs[network] = (0..<7).map { (isTier ? $0 == 0 ? 99.8 : 95 : 100, 100 + Double($0) / 1000) }
      }
      let tier = ABReport.Tier(requested: "auto", obtained: "tc")
      for network in networks {
        report.results.append(seen.result(of: network, tier: network.tier.map { _ in tier }))
      }
      report.comparisons.append(seen.comparison(of: networks[1], with: networks[0])!)
      report.noiseFloor.append(seen.noiseFloor(of: networks[0])!)
    }
    return report
  }

  @Test func whatQualifiesAFigureStandsBesideItInEveryForm() throws {
    func cell(_ ends: Ends, _ checksum: Bool? = nil) -> Cell {
      Cell(
        measure: .tcpStream, size: 65536, offloads: .off, placement: .twoCore, ends: ends,
        outerChecksum: checksum)
    }
    let report = streams([cell(.both), cell(.sender), cell(.receiver), cell(.both, true)])
    #expect(Set(report.results.map(\.row)).count == 4)
    #expect(report.results.map(\.ends) == [nil, nil, "sender", "sender", "receiver", "receiver", nil, nil])
    #expect(
      report.results.map(\.retransmittedFraction) == [0.001, 0.012, 0.001, 0.012, 0.001, 0.012, 0.001, 0.012])
    #expect(report.results[3].skbBytes == 1500)
    let json = String(decoding: try report.encoded(), as: UTF8.self)
    #expect(json.contains("\"ends\" : \"sender\"") && json.contains("\"outer_checksum\" : \"on\""))
    #expect(json.contains("retransmitted_fraction") && json.contains("skb_bytes"))
    #expect(try ABReport.decoded(report.encoded()) == report)
    let table = ABTable(report, coloured: false).text
    for line in table.split(separator: "\n") { #expect(line.count <= 80, "\(line)") }
    for text in [table, ABMarkdown(report).text, try ABPage(report).html()] {
      for words in [
        "retransmitted 1.2 % (vxlan 0.10 %)", "GRO 1500 B/skb (vxlan 45000 B/skb)", "tier on the sender only",
        "tier on the receiver only", "outer checksum on", "vxlan+auto (tc)",
      ] {
        #expect(text.replacing("\n  ", with: " ").contains(words), "\(words) in \(text)")
      }
    }
    #expect(table.contains("tcp-stream 64 KiB off 2-core recv "))
  }

  /// An interval that ends just below 1 is not shown as if it ended at 1.
  @Test func aVerdictIsNeverPrintedBesideABoundThatContradictsIt() throws {
    var report = streams([Cell(measure: .tcpStream, size: 64, offloads: .on, placement: .twoCore)])
    func bounds(_ low: Double, _ high: Double, _ verdict: Verdict = .worse) -> String {
      report.comparisons[0].ci95 = [low, high]
      report.comparisons[0].verdict = verdict
      return report.comparisons[0].intervalText
    }
    #expect(bounds(0.901, 0.998) == "0.90–0.998")
    #expect(bounds(0.901, 0.99996) == "0.90–0.99996")
    #expect(bounds(0.901, 0.9999999) == "0.90–<1")
    #expect(bounds(1.0021, 1.3) == "1.002–1.30")
    #expect(bounds(0.901, 0.998, .noDifference) == "0.90–1.00")
    #expect(bounds(0.5, 0.9) == "0.50–0.90")
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
