// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Lab
import LinuxSystem

struct LabExec: CulvertCommand {
  static let configuration = CommandConfiguration(
    commandName: "exec", abstract: "Run a command inside a node.",
    discussion: "The exit status is the command's.")

  @OptionGroup var lab: LabName
  @Argument(help: "hostA, hostB, a1, a2 …, b1, b2 …", completion: .nodes)
  var node: String
  @Argument(parsing: .captureForPassthrough, help: "The command, after --.")
  var command: [String] = []

  func execute() throws {
    // `captureForPassthrough` hands over the terminator too.
    let words = Array(command.first == "--" ? command.dropFirst() : command[...])
    try Lab.open(name: lab.name).node(node).exec(words) { Terminal.note("note: \($0)") }
  }
}
