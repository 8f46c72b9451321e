// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import Traffic

/// Where trials happen: a living topology on which networks are toggled. A test gives one that computes its
/// answers.
public protocol Arena: AnyObject {
  /// Why this network cannot take part in this cell at all; nil when it can.
  func reasonToSkip(_ network: Network, _ cell: Cell) -> String?
  /// Checks that the network carries traffic correctly in the arrangement that the cell uses. Each
  /// arrangement once.
  func gate(_ network: Network, _ cell: Cell) throws(Failure) -> ABReport.Gate
  func trial(_ network: Network, _ cell: Cell) throws(Failure) -> Sample
  /// A trial that also tells the CPU time of all CPUs (1.0: one CPU) over its window; nil where the machine
  /// is too busy with other things to tell.
  func trialWithCost(_ network: Network, _ cell: Cell) throws(Failure) -> (sample: Sample, busyCPUs: Double?)
  func tier(of network: Network) -> ABReport.Tier?
  /// CPUDistance, or nil where there is none.
  func distance() throws(Failure) -> Double?
}
