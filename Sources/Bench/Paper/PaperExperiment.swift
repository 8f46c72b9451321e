// SPDX-License-Identifier: Apache-2.0
import LinuxSystem

/// One experiment of "An Analysis and Empirical Study of Container Networks" (Suo, Zhao, Chen, Rao; INFOCOM 2018): what
/// is measured for it here, and what the paper found.
public struct PaperExperiment: Sendable {
  /// As the paper numbers its figures and tables: "fig4", "table6".
  public var id: String
  public var title: String
  /// What the paper measured, and with what result.
  public var paper: String
  var series: [Series] = []
  var findings: [PaperFinding] = []
  var values: [PaperValue] = []
  /// Why nothing of it is measured here.
  var skipped: String?
  /// What is otherwise here than in the paper.
  var differs: String?
  /// Networks that it has, and this lab does not, with the reason.
  var missing: [String: String] = [:]

  /// One kind of load by size.
  struct Series: Sendable {
    var measure: Measure
    /// With `--quick`, and beside them without.
    var sizes: [Int]
    var moreSizes: [Int] = []
    var span = Span.twoHosts
    var networks: [String]
    var moreNetworks: [String] = []
  }

  /// Its rows, the networks of each without the baseline.
  func cells(isQuick: Bool, offloads: [Offloads], placement: Placement) -> [(cell: Cell, networks: [Network])]
  {
    series.flatMap { series in
      let sizes = isQuick ? series.sizes : (series.sizes + series.moreSizes).sorted()
      let networks = (isQuick ? series.networks : series.networks + series.moreNetworks).map(
        Network.init(known:))
      return sizes.flatMap { size in
        offloads.map { offloads in
          (
            Cell(
              measure: series.measure, size: size, offloads: offloads, placement: placement, span: series.span
            ),
            networks
          )
        }
      }
    }
  }
}

/// A figure of the paper.
struct PaperValue: Sendable {
  /// The network here that stands for the paper's.
  var network: String
  var measure: Measure
  var size: Int
  /// Of the metric, against what it has without containers: of latencies more than 1 is slower.
  var ratio: Double?
  /// In the metric's unit.
  var value: Double?

  /// Of some networks, in the metric's unit; those against the first, where that is without containers.
  static func of(_ measure: Measure, _ size: Int, _ values: KeyValuePairs<String, Double>) -> [PaperValue] {
    let first = values.first!
    return values.map { network, value in
      let ratio = first.key == PaperExperiment.baseline && network != first.key ? value / first.value : nil
      return PaperValue(network: network, measure: measure, size: size, ratio: ratio, value: value)
    }
  }
}

extension Network {
  /// Of a name in this source.
  init(known text: String) {
    let parts = text.split(separator: "+").map(String.init)
    self.init(base: parts[0], tier: parts.count > 1 ? parts[1] : nil)
  }
}
