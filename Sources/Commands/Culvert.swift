// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import LinuxSystem

public struct Culvert: ParsableCommand {
  public static let configuration = CommandConfiguration(
    commandName: "culvert",
    abstract: "An XDP, AF_XDP or tc fast path for Linux bridge + VXLAN overlays, and its benchmarks.",
    discussion: """
      Exit status: 0 done; 1 failed; 2 a threshold was missed; 64 usage; 69 this kernel or interface cannot do it; 77 needs \
      root. `status` and `lab exec` have more: see their help.
      """,
    version: "culvert \(Build.version)\(Build.isDebug ? " (debug build)" : "")",
    subcommands: [
      Up.self, Down.self, StatusCommand.self, StatsCommand.self, Probe.self, LabCommand.self, AB.self,
      Report.self, Cost.self,
    ])
  public init() {}
}
