// SPDX-License-Identifier: Apache-2.0

/// What a row of the report is about, whatever the network: a cell as the JSON has it.
struct Row: Hashable, Sendable {
  var workload: String
  var metric: String
  var size: Int
  var offloads: String
  var placement: String
  var flows: Int?
  /// "sender" or "receiver": where the tier is; nil: on both.
  var ends: String?
  /// "on" or "off"; nil: as the baseline has it.
  var outerChecksum: String?
  /// "one-host"; nil: as far as the network reaches.
  var span: String?
}

extension Row {
  var place: Span { span.flatMap(Span.init) ?? .twoHosts }

  /// Of all-to-all; its metric says so.
  var containers: Int? { workload == "all-to-all" ? metric.split(separator: "_").last.flatMap { Int($0) } : nil }

  /// What a figure is drawn by.
  var axis: Int { containers ?? size }
  var axisWords: String { containers.map { "with \($0)" } ?? "at \(Quantity.size(size))" }
}

extension Cell {
  /// As the JSON has it: nothing for one.
  var severalFlows: Int? { flows == 1 ? nil : flows }
  /// As the JSON has it: nothing for both.
  var oneEnd: String? { ends == .both ? nil : ends.rawValue }
  var checksumWord: String? { outerChecksum.map { $0 ? "on" : "off" } }
  /// As the JSON has it: nothing for two hosts.
  var oneSpan: String? { span == .twoHosts ? nil : span.rawValue }

  var row: Row {
    Row(
      workload: measure.workload, metric: measure.metric, size: size, offloads: offloads.rawValue,
      placement: placement.rawValue, flows: severalFlows, ends: oneEnd, outerChecksum: checksumWord,
      span: oneSpan)
  }
}

extension ABReport.Result {
  var row: Row {
    Row(
      workload: workload, metric: metric, size: size, offloads: offloads, placement: placement, flows: flows,
      ends: ends, outerChecksum: outerChecksum, span: span)
  }
}

extension ABReport.Comparison {
  var row: Row {
    Row(
      workload: workload, metric: metric, size: size, offloads: offloads, placement: placement, flows: flows,
      ends: ends, outerChecksum: outerChecksum, span: span)
  }
}

extension ABReport.NoiseFloor {
  var row: Row {
    Row(
      workload: workload, metric: metric, size: size, offloads: offloads, placement: placement, flows: flows,
      ends: ends, outerChecksum: outerChecksum, span: span)
  }
}
