// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import LinuxSystem

public struct Culvert: ParsableCommand {
  public static let configuration = CommandConfiguration(
    commandName: "culvert",
    abstract: "Takes a container network's packets out of the kernel's stack, and proves what that bought.",
    version: "culvert \(Build.version)\(Build.isDebug ? " (debug build)" : "")",
    subcommands: [
      Up.self, Down.self, StatusCommand.self, StatsCommand.self, Probe.self, LabCommand.self, AB.self,
      Report.self, Cost.self,
    ])
  public init() {}
}
