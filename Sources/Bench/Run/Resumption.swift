// SPDX-License-Identifier: Apache-2.0
import LinuxSystem

/// Going on with a comparison that was broken off.
extension ABReport {
  /// Whether every network's row of the cell is there and whole.
  public func holds(_ cell: Cell, of networks: [Network]) -> Bool {
    let row = cell.row
    let whole = Set(results.filter { $0.row == row && $0.isWhole }.map(\.network))
    return networks.allSatisfy { whole.contains($0.description) }
  }

  /// Takes over the rows of `earlier` that are whole for all its networks. Throws a usage error that names the
  /// first thing in which the two differ: rows of different settings are no one result.
  public mutating func resume(_ earlier: ABReport) throws(Failure) {
    if let difference = difference(from: earlier) {
      throw Failure(
        "resume", "the comparison",
        advice: "\(difference); run it again as it was, or write to another file.",
        status: .usage)
    }
    // A row is written with all its networks; which they are is the plan's, and `holds` asks for them.
    let broken = Set(earlier.results.filter { !$0.isWhole }.map(\.row))
    let rows = Set(earlier.results.map(\.row)).subtracting(broken)
    results = earlier.results.filter { rows.contains($0.row) }
    comparisons = earlier.comparisons.filter { rows.contains($0.row) }
    noiseFloor = earlier.noiseFloor.filter { rows.contains($0.row) }
    gates = earlier.gates.filter(\.passed)
    environment.cpuDistanceNs = earlier.environment.cpuDistanceNs
    environment.cpuDistanceRangeNs = earlier.environment.cpuDistanceRangeNs
  }

  private func difference(from earlier: ABReport) -> String? {
    for (there, here) in zip(earlier.conditions, conditions) where there.value != here.value {
      return "\(here.name): \(there.value) there, \(here.value) here"
    }
    return nil
  }

  /// What has to be the same for rows to be comparable.
  private var conditions: [(name: String, value: String)] {
    [
      ("networks", settings.networks.joined(separator: ",")), ("baseline", settings.baselineNetwork),
      ("repeats", "\(settings.repeats)"), ("duration", "\(settings.durationS)"),
      ("warm-up", "\(settings.warmUpS ?? 0)"), ("quick", "\(settings.quick ?? false)"),
      ("bypassed policy", "\(settings.bypassPolicy)"),
      (
        "pinning",
        settings.pinning.map { "\($0.key) \($0.value.sorted { $0.key < $1.key })" }.sorted()
          .joined(separator: ", ")
      ),
      ("networks as", environment.baseline),
      ("outer checksum", environment.outerChecksum ?? (environment.baseline == "tuned" ? "off" : "on")),
      ("kernel", environment.kernel), ("CPU", environment.cpu),
      ("CPUs", "\(environment.cpus)"), ("Culvert", environment.culvert),
      ("debug build", "\(environment.debugBuild)"),
    ]
  }
}

extension ABReport.Result {
  /// Nothing of it is to be measured again: what failed is, what was skipped is not.
  fileprivate var isWhole: Bool { failed == nil && interrupted != true }
}
