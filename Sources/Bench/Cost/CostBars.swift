// SPDX-License-Identifier: Apache-2.0

/// The steps as waterfalls, each bar from where the step below ends, and whole hosts as bars; with their intervals, and on one
/// scale for a part, so that they can be compared.
struct CostBars {
  var report: CostReport

  private struct Chain {
    var title: String
    var steps: [CostReport.Step]
  }

  /// Steps that stand on one another, under what most of the ladder is measured under.
  private func chains(_ part: CostReport.Part) -> [Chain] {
    var chains: [Chain] = []
    for step in report.steps where step.part == part && step.isUsual && step.adds == nil {
      var steps = [step]
      while let next = report.steps.first(where: { next in
        next.part == step.part && next.conditions == step.conditions && next.above == steps.last!.step
          && !next.step.hasSuffix("looked up")
      }) {
        steps.append(next)
      }
      if steps.count > 1 {
        let what = steps.last!.step == "whole" ? "all of it" : "to \(steps.last!.step)"
        chains.append(Chain(title: "\(part.title), \(what): \(step.conditions.words)", steps: steps))
      }
    }
    return chains
  }

  /// What hosts were measured under alike.
  private struct HostKind: Hashable {
    var step: String
    var conditions: CostReport.Conditions
    init(_ step: CostReport.Step) {
      self.step = step.step
      conditions = step.conditions
    }
    var name: String { "\(step), \(conditions.words)" }
  }

  var markup: Markup {
    let falls = [CostReport.Part.bpf, .swift].map { part -> Markup in
      let chains = chains(part)
      let most = end(of: chains.flatMap(\.steps))
      return "\(chains.map { fall($0, most) })"
    }
    let hosts = report.steps.filter { $0.part == .path }
    let kinds = hosts.map(HostKind.init).reduce(into: [HostKind]()) { if !$0.contains($1) { $0.append($1) } }
    let most = end(of: hosts)
    let paths = kinds.map { kind -> Markup in
      let bars = hosts.filter { HostKind($0) == kind }.map { step in
        bar(
          "\(step.tier)", step, from: 0, of: most, step.tier.contains("+") ? "n0" : "base",
          "\(step.packetsPerSecond.map { Quantity.text($0, unit: "1/s") } ?? "")")
      }
      return """
        <h3>One host under test, \(kind.name)</h3><table class="bars"><tbody>\(bars)</tbody></table>

        """
    }
    return """
      <section><h2>The ladder</h2><p class="soft">Nanoseconds per packet, with 95 % intervals: each bar begins where the step above it ends. \
      Rounds of tier xdp's steps are counted in whole nanoseconds.</p>\(falls)\(paths)</section>

      """
  }

  private func end(of steps: [CostReport.Step]) -> Double {
    max(1, steps.filter { !$0.nsPerPacket.isHidden }.flatMap { $0.nsPerPacket.ci95 }.max() ?? 1) * 1.04
  }

  private func fall(_ chain: Chain, _ most: Double) -> Markup {
    var before = 0.0
    let bars = chain.steps.map { step -> Markup in
      defer { before = step.nsPerPacket.median }
      return bar(
        "<a href=\"#\(step.anchor)\">\(step.step)</a>", step, from: before, of: most, "n0",
        step.nsPerPacket.isHidden
          ? "spread hides it" : step.adds.map { "+\(Quantity.nanoseconds($0.median))" } ?? "")
    }
    return "<h3>\(chain.title)</h3><table class=\"bars\"><tbody>\(bars)</tbody></table>\n"
  }

  private func bar(
    _ name: Markup, _ step: CostReport.Step, from: Double, of most: Double, _ style: String, _ note: String
  ) -> Markup {
    let to = step.nsPerPacket.median
    func part(_ value: Double) -> Double { min(100, max(0, 100 * value / most)) }
    let ends = step.nsPerPacket.ci95.map(part)
    let track = RatioTrack(
      style: style, start: part(min(from, to)), width: max(0.4, part(max(from, to)) - part(min(from, to))),
      span: ends.count == 2 ? (ends[0], ends[1]) : nil)
    return """
      <tr><th scope="row">\(name)</th><td class="graph">\(track.markup)</td><td class="num value head" \
      title="95 % interval \(CostPage.interval(step.nsPerPacket)) ns"><b>\(Quantity.nanoseconds(to)) ns</b> \
      <span class="soft">\(note)</span></td></tr>

      """
  }
}
