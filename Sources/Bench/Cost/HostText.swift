// SPDX-License-Identifier: Apache-2.0

/// Whole hosts as text, at most 80 columns wide.
struct HostText {
  var steps: [CostReport.Step]

  init(_ steps: [CostReport.Step]) { self.steps = steps }

  private var single: [CostReport.Step] {
    steps.filter { ($0.conditions.containers ?? 1) == 1 && $0.conditions.entries == nil }
  }
  private var many: [CostReport.Step] { steps.filter { $0.conditions.entries != nil } }
  private var several: [CostReport.Step] { steps.filter { ($0.conditions.containers ?? 1) > 1 } }

  var lines: [String] {
    var lines = [Self.head(CostReport.Part.path.title, "no loss")]
    lines += single.map { line($0, $0.ndrPacketsPerSecond.map { Quantity.text($0, unit: "1/s") } ?? "") }
    for run in Set(several.compactMap(\.conditions.run)).sorted() {
      let turns = several.filter { $0.conditions.run == run }
      lines += ["", Self.head("\(turns[0].conditions.containers!) containers, by \(run)", "of one")]
      lines += turns.map { step in
        line(step, step.timesOneContainer.map { Quantity.number($0.median) + "×" } ?? "")
      }
    }
    for entries in Set(many.compactMap(\.conditions.entries)).sorted() {
      let among = many.filter { $0.conditions.entries == entries }
      lines += ["", Self.head("any of \(Quantity.count(entries)) entries", entries == 1000 ? "" : "of 1k")]
      lines += among.map { step in
        line(step, step.timesThousandEntries.map { Quantity.number($0.median) + "×" } ?? "")
      }
    }
    if single.contains(where: { $0.delays != nil }) { lines += [""] + delays }
    return lines + peer + rings
  }

  private static func head(_ title: String, _ column: String) -> String {
    title.left(25) + "ns/packet".right(10) + "95 %".right(10) + "most".right(9) + column.right(9)
      + "CPU".right(5) + "kernel".right(7) + "wire".right(5)
  }

  private func line(_ step: CostReport.Step, _ column: String) -> String {
    func times(_ other: String) -> String {
      step.timesFaster?.first { $0.than == other }.map { Quantity.number($0.median) } ?? ""
    }
    return "\(step.tier) \(step.step)".left(25)
      + Quantity.nanoseconds(step.nsPerPacket.median).right(10)
      + step.nsPerPacket.ci95.map(Quantity.nanoseconds).joined(separator: "–").right(10)
      + (step.packetsPerSecond.map { Quantity.text($0, unit: "1/s") } ?? "–").right(9)
      + column.right(9) + (step.cpuNsPerPacket.map(Quantity.number) ?? "").right(5)
      + (times("vxlan").isEmpty ? "" : times("vxlan") + "×").right(7) + times("bare").right(5)
  }

  private var delays: [String] {
    let loads = single.compactMap(\.delays).first?.map(\.percentOfNdr) ?? []
    var lines = [
      "delay of frames: p50 / p99, µs".left(32) + loads.map { "at \($0) %".right(16) }.joined()
    ]
    for step in single {
      guard let delays = step.delays else { continue }
      lines.append(
        "\(step.tier) \(step.step)".left(32)
          + delays.map { "\(Quantity.number($0.p50Us)) / \(Quantity.number($0.p99Us))".right(16) }.joined())
    }
    return lines
  }

  private var peer: [String] {
    steps.compactMap { step in
      guard step.tier == "vxlan+afxdp",
        let ratio = step.timesFaster?.first(where: { $0.than == Network.testpmd.description })
      else { return nil }
      return "  \(step.tier) \(step.step) is \(Quantity.number(ratio.median))× testpmd "
        + "(\(ratio.ci95.map(Quantity.number).joined(separator: "–")))"
    }
  }

  private var rings: [String] {
    (single + several).compactMap { step in
      guard let burst = step.packetsPerBurst, let calls = step.callsPerPacket else { return nil }
      let ends = step.conditions.run.map { ", \(step.conditions.containers!) by \($0)" } ?? ""
      return "  rings of \(step.tier) \(step.step)\(ends): \(Quantity.number(burst)) packets at once, "
        + "\(Quantity.number(calls)) calls a packet"
    }
  }
}
