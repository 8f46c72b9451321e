// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Lab
import LinuxSystem

struct LabCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "lab",
    abstract: "Two hosts with containers, made of namespaces, to try things and to measure.",
    subcommands: [LabUp.self, LabExec.self, LabList.self, LabDown.self])
}

struct LabName: ParsableArguments {
  @Option(help: "The lab's name; its namespaces are NAME-hostA, NAME-a1 …")
  var name = Lab.defaultName
}

enum Switch: String, ExpressibleByArgument, CaseIterable {
  case on
  case off
}
