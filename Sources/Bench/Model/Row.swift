// SPDX-License-Identifier: Apache-2.0

/// What a row of the report is about, whatever the network: a cell as the JSON has it.
struct Row: Hashable, Sendable {
  var workload: String
  var metric: String
  var size: Int
  var offloads: String
  var placement: String
  var flows: Int?
}

extension Cell {
  /// As the JSON has it: nothing for one.
  var severalFlows: Int? { flows == 1 ? nil : flows }

  var row: Row {
    Row(
      workload: measure.workload, metric: measure.metric, size: size, offloads: offloads.rawValue,
      placement: placement.rawValue, flows: severalFlows)
  }
}

extension ABReport.Result {
  var row: Row {
    Row(
      workload: workload, metric: metric, size: size, offloads: offloads, placement: placement, flows: flows)
  }
}

extension ABReport.Comparison {
  var row: Row {
    Row(
      workload: workload, metric: metric, size: size, offloads: offloads, placement: placement, flows: flows)
  }
}

extension ABReport.NoiseFloor {
  var row: Row {
    Row(
      workload: workload, metric: metric, size: size, offloads: offloads, placement: placement, flows: flows)
  }
}
