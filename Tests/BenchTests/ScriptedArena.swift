// SPDX-License-Identifier: Apache-2.0
import LinuxSystem

@testable import Bench

/// Answers from a script instead of a network.
final class ScriptedArena: Arena {
  var speed: (Network, Int) -> Double = { network, _ in network.tier == nil ? 100 : 300 }
  var distances: [Double] = []
  var failing: Network?
  var broken: Network?
  private(set) var trials: [Network] = []
  private(set) var gated: [Network] = []

  func reasonToSkip(_ network: Network, _ cell: Cell) -> String? { nil }
  func gate(_ network: Network, _ cell: Cell) throws(Failure) -> ABReport.Gate {
    gated.append(network)
    return ABReport.Gate(
      network: network.description, offloads: cell.offloads.rawValue, hosts: "A B", passed: network != broken,
      summary: network == broken ? "echo 1473 bytes: no answer" : "fine")
  }
  func trial(_ network: Network, _ cell: Cell) throws(Failure) -> Sample {
    trials.append(network)
    if network == failing { throw Failure("send", "datagrams") }
    return Sample(value: speed(network, trials.count), lostFraction: 0)
  }
  func trialWithCost(_ network: Network, _ cell: Cell) throws(Failure) -> (sample: Sample, busyCPUs: Double?)
  {
    (try trial(network, cell), 1.5)
  }
  func tier(of network: Network) -> ABReport.Tier? {
    network.tier.map { ABReport.Tier(requested: $0, obtained: "\($0) native") }
  }
  func distance() throws(Failure) -> Double? { distances.isEmpty ? 60 : distances.removeFirst() }
}
