// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Bench
import Foundation
import LinuxSystem

struct Advise: CulvertCommand {
  static let configuration = CommandConfiguration(
    commandName: "advise",
    abstract: "Say which network or tier suits a workload, by what was measured here.",
    discussion: """
      Reads what `culvert ab --json` or `culvert paper --json` wrote on this machine. Networks that were not measured are \
      never named; between two measured sizes the figure is interpolated, beyond them there is none.
      """)

  @Argument(help: "The JSON that `culvert ab` or `culvert paper` wrote; - is standard input.")
  var file: String
  @Option(help: "tcp or udp.", completion: .list(["tcp", "udp"]))
  var `protocol` = "tcp"
  @Option(
    help: "stream: one way as fast as it goes; rr: a request, then its answer.",
    completion: .list(["stream", "rr"]))
  var pattern = "stream"
  @Option(help: "Bytes of a write, a datagram or a request (default: the smallest measured).")
  var size: Int?
  @Flag(help: "Both ends are on one host.")
  var sameHost = false
  @Option(
    help:
      "At least: low (the host's ports), medium (a namespace that containers share) or high (one for each).",
    completion: .list(Isolation.allCases.map(\.rawValue)))
  var isolation = Isolation.low.rawValue
  @Flag(help: "Only what encrypts.")
  var encryption = false
  @Option(help: "Rows with offloads on or off (default: off, where both were measured).")
  var offloads: String?
  @Option(help: "Rows on one-core or two-core (default: two-core, where both were measured).")
  var placement: String?
  @Option(help: "The network that is in use now (default: the kernel's overlay, on one host the bridge).")
  var insteadOf: String?
  @Flag(help: "Say how often the pick is within 5 % of the best where the answer is held out.")
  var verify = false
  @Flag(help: "As JSON.")
  var json = false

  func execute() throws {
    let adviser = Adviser(try measurements())
    if verify {
      let check = adviser.verify()
      return try json ? Terminal.json(CheckJSON(check)) : StandardStream.result(AdviceCheckText(check).text)
    }
    let advice = try adviser.advise(try question(adviser))
    try json ? Terminal.json(AdviceJSON(advice)) : StandardStream.result(AdviceText(advice).text)
  }

  private static let origin = "--json of `culvert ab` or `paper`"

  private func measurements() throws -> ABReport {
    let data = try ResultFile.read(file, of: Self.origin)
    if let paper = try? PaperReport.decoded(data), paper.schema == PaperReport.schemaName {
      return paper.measurements
    }
    guard let report = try? ABReport.decoded(data), report.schema == ABReport.schemaName else {
      throw ResultFile.misfit(
        data, file, of: Self.origin, schemas: [ABReport.schemaName, PaperReport.schemaName])
    }
    return report
  }

  private func question(_ adviser: Adviser) throws -> Question {
    func one<T: RawRepresentable<String> & CaseIterable>(_ option: String, _ text: String) throws -> T {
      guard let value = T(rawValue: text) else {
        throw ValidationError(
          "--\(option) \(text) is not one of: \(T.allCases.map(\.rawValue).joined(separator: ", ")).")
      }
      return value
    }
    var question = Question(
      transport: try one("protocol", `protocol`), pattern: try one("pattern", pattern), size: size ?? 0,
      isOnOneHost: sameHost, isolation: try one("isolation", isolation), needsEncryption: encryption)
    question.offloads = try offloads.map { try one("offloads", $0) }
    question.placement = try placement.map { try one("placement", $0) }
    question.insteadOf = insteadOf
    if size == nil { question.size = try adviser.smallestSize(for: question) }
    return question
  }
}

/// Schema `culvert.advice/1`.
private struct AdviceJSON: Encodable {
  struct Choice: Encodable {
    var network: String
    var speed: Double
    var ci95: [Double]
    var no_difference_to_first: Bool
    var no_difference_to_reference: Bool
    var against: [String]
  }
  struct Other: Encodable {
    var network: String
    var reason: String
  }
  var schema = "culvert.advice/1"
  var advice: String
  var basis: String
  var reference: String
  var choices: [Choice]
  var not_considered: [Other]

  init(_ given: Advice) {
    advice = AdviceText(given).headline
    (basis, reference) = (given.basis, given.reference)
    choices = given.choices.map {
      Choice(
        network: $0.network, speed: $0.speed, ci95: [$0.range.lowerBound, $0.range.upperBound],
        no_difference_to_first: $0.isAsGoodAsFirst, no_difference_to_reference: $0.isNoGain,
        against: $0.drawbacks)
    }
    not_considered = given.others.map { Other(network: $0.network, reason: $0.reason) }
  }
}

private struct CheckJSON: Encodable {
  struct Tally: Encodable {
    var asked: Int
    var within_5_percent: Int
  }
  var schema = "culvert.advice/1"
  var sizes_held_out: Tally
  var trials_held_out: Tally

  init(_ check: AdviceCheck) {
    sizes_held_out = Tally(asked: check.sizes.asked, within_5_percent: check.sizes.near)
    trials_held_out = Tally(asked: check.trials.asked, within_5_percent: check.trials.near)
  }
}
