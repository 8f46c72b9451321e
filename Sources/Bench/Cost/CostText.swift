// SPDX-License-Identifier: Apache-2.0

/// The ladder as text, at most 80 columns wide: steps under what they were measured under.
public struct CostText {
  public static let width = 80

  public var report: CostReport

  public init(_ report: CostReport) { self.report = report }

  public var text: String {
    var lines: [String] = []
    let environment = report.environment
    if environment.debugBuild { lines.append("DEBUG BUILD: these timings say little.") }
    var machine = "Linux \(environment.kernel), \(environment.cpu), \(environment.cpus) CPUs"
    if environment.virtualised { machine += ", virtualised" }
    lines += (machine + ", \(environment.rounds) rounds by turns").wrapped(Self.width, indent: 2)
    for part in CostReport.Part.allCases {
      let steps = report.steps.filter { $0.part == part }
      guard !steps.isEmpty else { continue }
      lines += [""] + (part == .path ? HostText(steps).lines : ladder(part, steps))
    }
    let failures = (report.failures ?? []).flatMap { failed in
      "NOT MEASURED: \(failed.what): \(failed.reason)".wrapped(Self.width, indent: 2)
    }
    if !failures.isEmpty { lines += [""] + failures }
    return lines.map(\.withoutTrailingBlanks).joined(separator: "\n") + "\n"
  }

  private func ladder(_ part: CostReport.Part, _ steps: [CostReport.Step]) -> [String] {
    let counts = steps.contains { $0.instructionsPerPacket != nil }
    let last = part == .swift ? "of C's" : counts ? "instr." : ""
    var lines = [
      part.title.left(38) + "ns/packet".right(10) + "95 %".right(14) + "adds".right(9) + last.right(9)
    ]
    var conditions: CostReport.Conditions?
    for step in steps {
      if step.conditions != conditions {
        conditions = step.conditions
        lines.append(step.conditions.words)
      }
      lines.append(line(step))
    }
    return lines
  }

  private func line(_ step: CostReport.Step) -> String {
    let figure = step.nsPerPacket
    let last =
      step.referenceRatio.map { Quantity.number($0.median) + "×" }
      ?? (step.part == .bpf ? step.instructionsPerPacket.map { Quantity.nanoseconds($0.median) } : nil) ?? ""
    return ("  " + step.step).left(38)
      + (figure.isHidden ? "spread" : Quantity.nanoseconds(figure.median)).right(10)
      + figure.ci95.map(Quantity.nanoseconds).joined(separator: "–").right(14)
      + (step.adds.map { $0.isHidden ? "spread" : Quantity.nanoseconds($0.median) } ?? "").right(9)
      + last.right(9)
  }
}

extension CostReport.Part {
  var title: String {
    switch self {
    case .bpf: "tier xdp, by BPF_PROG_TEST_RUN"
    case .swift: "tier afxdp's forwarder, in memory"
    case .path: "one host under test, 64 B"
    }
  }
}
