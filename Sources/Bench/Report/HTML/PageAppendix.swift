// SPDX-License-Identifier: Apache-2.0
import Foundation

/// What qualifies the figures, and the figures themselves.
struct PageAppendix {
  var page: ABPage
  private var report: ABReport { page.report }

  func markup(_ json: Data) -> Markup {
    """
    <section><h2>What qualifies this</h2>\(costs)\(noise)\(gates)\(environment)</section>
    <section><h2>Raw</h2>\(Markup.samples(report.results))\
    \(Markup.download(json, as: "culvert-ab.json", schema: report.schema))</section>

    """
  }

  private var costs: Markup {
    let rows = report.results.compactMap { result -> [Markup]? in
      let cost =
        result.cpuNsPerPacket.map { Quantity.long($0) + " ns" }
        ?? result.cpuNsPerByte.map { Quantity.long($0 * 1024) + " ns/KiB" }
      guard let cost else { return nil }
      return [
        "\(result.row.title) <span class=\"soft\">\(result.row.conditions)</span>", page.key(result.network),
        "\(cost)",
      ]
    }
    return .table(
      "CPU time of all CPUs per packet, round trip or KiB", ["row", "network", "CPU"], rows)
  }

  private var noise: Markup {
    .table(
      "Noise floor: \(page.baseline) against itself; nothing inside it counts as a difference",
      ["row", "ratio", "95 %"],
      report.noiseFloor.map { floor in
        [
          "\(floor.row.title) <span class=\"soft\">\(floor.row.conditions)</span>",
          "\(Quantity.number(floor.ratio))×",
          "\(floor.ci95.map(Quantity.number).joined(separator: "–"))",
        ]
      })
  }

  private var gates: Markup {
    let failed = report.gates.filter { !$0.passed }
    let count = report.gates.count - failed.count
    let what = "ping, UDP and checked TCP in both directions, at sizes around the MTU"
    let passed: Markup? =
      count == 0
      ? nil
      : "<p>Before any timing, \(Set(report.gates.filter(\.passed).map(\.network)).count) networks passed \(count) checks of correctness: \(what).</p>"
    return """
      \(passed)\(Markup.table(
        "Failed before timing: \(what)", ["network", "offloads", "tier on", "why"],
        failed.map { gate in
          [
            page.key(gate.network), "\(gate.offloads)", "\(gate.hosts.isEmpty ? "–" : gate.hosts)",
            "<span class=\"bad\">\(gate.summary)</span>",
          ]
        }))
      """
  }

  var environment: Markup {
    let environment = report.environment
    var rows: [[Markup]] = [
      ["kernel", "\(environment.kernel)"], ["CPU", "\(environment.cpu), \(environment.cpus) CPUs"],
      ["baseline", "\(environment.baseline)"], ["order", "\(report.settings.order)"],
    ]
    if let checksum = environment.outerChecksum {
      rows.append([
        "outer UDP checksum of the VXLAN devices", "\(checksum), where a row does not say otherwise",
      ])
    }
    if let distance = environment.cpuDistanceNs {
      let range = environment.cpuDistanceRangeNs?.map(Quantity.number).joined(separator: "–") ?? ""
      rows.append(["cache-line round trip between the CPUs", "\(Quantity.number(distance)) ns (\(range))"])
    }
    for (name, value) in environment.mitigations.sorted(by: { $0.key < $1.key }) {
      rows.append(["\(name)", "\(value)"])
    }
    for tier in Set(
      report.results.compactMap { result in result.tier.map { "\(result.network): \($0.obtained)" } }
    ).sorted() {
      rows.append(["tier obtained", "\(tier)"])
    }
    return
      "<details><summary>Environment and settings</summary>\(Markup.table("", ["what", "value"], rows))</details>"
  }
}
