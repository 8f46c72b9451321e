// SPDX-License-Identifier: Apache-2.0
import Foundation

/// A result of `culvert paper`: JSON schema `culvert.paper/1`. Fields are added, never renamed or removed.
public struct PaperReport: Codable, Sendable, Equatable {
  public static let schemaName = "culvert.paper/1"

  public var schema = PaperReport.schemaName
  public var experiments: [Experiment] = []
  /// Every row with its samples, environment and settings: a document of schema `culvert.ab/1` by itself.
  public var measurements: ABReport

  public struct Experiment: Codable, Sendable, Equatable {
    public var id: String
    public var title: String
    /// What the paper measured and found, in words.
    public var paper: String
    /// What is otherwise here than in the paper.
    public var differs: String?
    /// Why nothing of it was measured.
    public var skipped: String?
    /// Networks of the paper that this lab does not build, with the reason.
    public var missing: [String: String]?
    public var findings: [Finding] = []
    public var figures: [Figure] = []
  }

  public struct Finding: Codable, Sendable, Equatable {
    public var text: String
    public var outcome: FindingOutcome
    /// The ratios of speeds, with their intervals, that decided.
    public var because: String
  }

  /// One network in one row.
  public struct Figure: Codable, Sendable, Equatable {
    public var network: String
    public var workload: String
    public var size: Int
    public var offloads: String
    public var placement: String
    public var span: String?
    public var metric: String
    public var unit: String
    public var median: Double?
    /// Of the median.
    public var ci95: [Double]?
    /// Against `bare`, of pairs.
    public var ratio: Double?
    public var ratioCi95: [Double]?
    /// The paper's figure against its "without containers".
    public var paperRatio: Double?
    /// The paper's figure in this one's unit.
    public var paperValue: Double?
    /// Containers that take part, of all-to-all.
    public var containers: Int?
    /// Of a launch: what was done in turn, medians over the trials.
    public var partsMs: [String: Double]?
    /// How much of the CPU of its host an end took, of udp-rr.
    public var cpuPercent: Double?
    /// Of a tier: against the network that it is on, of pairs.
    public var kernelRatio: Double?
    public var kernelRatioCi95: [Double]?
    public var kernelVerdict: Verdict?
    public var skipped: String?
    public var failed: String?
  }

  public init(_ measurements: ABReport) { self.measurements = measurements }

  public var complete: Bool { measurements.complete }

  public func encoded() throws -> Data {
    let encoder = JSONEncoder()
    encoder.keyEncodingStrategy = .convertToSnakeCase
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    return try encoder.encode(self)
  }

  public static func decoded(_ data: Data) throws -> PaperReport {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    return try decoder.decode(PaperReport.self, from: data)
  }

  /// What the measurements say of each experiment: figures, and findings judged by them.
  public mutating func draw(_ selection: PaperSelection) {
    experiments = selection.experiments.map { experiment in
      let cells = selection.cells(of: experiment)
      let rows = cells.map(\.cell.row)
      let judge = FindingJudge(report: measurements, baseline: PaperExperiment.baseline)
      // As the paper's: its NIC had no offloads.
      let asPapers = rows.filter { $0.offloads == selection.offloads.last!.rawValue }
      var drawn = Experiment(
        id: experiment.id, title: experiment.title, paper: experiment.paper, differs: experiment.differs,
        skipped: experiment.skipped)
      drawn.missing = experiment.missing.isEmpty ? nil : experiment.missing
      drawn.figures = cells.flatMap { cell, networks in
        // A row that experiments share has the networks of all of them.
        figures(cell.row, experiment, [PaperExperiment.baseline] + networks.map(\.description))
      }
      drawn.findings = experiment.findings.map { finding in
        let (outcome, because) = judge.judge(finding, rows: asPapers)
        return Finding(text: finding.text, outcome: outcome, because: because)
      }
      return drawn
    }
  }

  private func figures(_ row: Row, _ experiment: PaperExperiment, _ networks: [String]) -> [Figure] {
    let results = networks.compactMap { network in
      measurements.results.first { $0.row == row && $0.network == network }
    }
    return results.map { result in
      var figure = Figure(
        network: result.network, workload: row.workload, size: row.size, offloads: row.offloads,
        placement: row.placement, span: row.span, metric: row.metric, unit: result.unit)
      figure.median = result.median
      figure.ci95 = Statistics.medianInterval(result.samples).map { [$0.lowerBound, $0.upperBound] }
      figure.skipped = result.skipped
      figure.failed = result.failed
      let papers = experiment.values.first {
        $0.network == result.network && $0.measure.workload == row.workload && $0.size == row.size
          && $0.measure.metric == row.metric
      }
      (figure.paperRatio, figure.paperValue) = (papers?.ratio, papers?.value)
      figure.containers = row.containers
      (figure.partsMs, figure.cpuPercent) = (result.partsMs, result.cpuPercent)
      for one in measurements.comparisons where one.a == result.network && one.row == row {
        if one.b == PaperExperiment.baseline {
          (figure.ratio, figure.ratioCi95) = (one.ratio, one.ci95)
        } else {
          (figure.kernelRatio, figure.kernelRatioCi95, figure.kernelVerdict) = (
            one.ratio, one.ci95, one.verdict
          )
        }
      }
      return figure
    }
  }
}
